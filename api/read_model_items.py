"""One read model as operators see it now; what acts on one and looks at one share."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace
from psycopg import AsyncConnection

from api.exchange import Exchange
from api.messages import Text
from api.projection_shapes import NAMES, ReadModelItem
from api.verified_words import verdict
from domain.errors import NotFound
from projections.orders import OrderState, orders_of
from projections.standing import Telling, standings

UNTOLD: Final[dict[OrderState, Text]] = {
    "expired": Text(
        "十分钟内没有工作进程接手，不再执行：请重新下令",
        "no worker took it within ten minutes, so it is not obeyed: order it again",
    ),
    "interrupted": Text(
        "执行它的工作进程已结束：请先查看状态，再重新下令",
        "the worker that was at it has ended: look at the status, then order again",
    ),
}
"""Of orders that no worker came to say anything of."""


async def item_of(
    exchange: Exchange, connection: AsyncConnection[Any], read_model: str
) -> ReadModelItem:
    """One read model as it is now.

    Raises:
        NotFound: it has no rows yet.
    """
    found = await standings(connection, telling_in(exchange))
    standing = next((each for each in found if each.read_model == read_model), None)
    if standing is None:
        raise NotFound("no such read model")
    language = exchange.language
    found_orders = await orders_of(connection, read_model, in_chinese=language == "zh")
    orders = tuple(
        replace(each, told=UNTOLD[each.state].in_language(language))
        if each.state in UNTOLD
        else each
        for each in found_orders
    )
    now = exchange.platform.clock()
    return ReadModelItem(standing=standing, orders=orders, as_of=now)


def telling_in(exchange: Exchange) -> Telling:
    """The sentence for a comparison, in the language of whoever asks."""
    language = exchange.language
    return lambda found: verdict(found).in_language(language)


def known(read_model: str) -> str:
    """The name of a read model.

    Raises:
        NotFound: it is none.
    """
    if read_model not in NAMES:
        raise NotFound("no such read model")
    return read_model
