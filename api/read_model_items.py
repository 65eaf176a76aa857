"""One read model as operators see it now; what acts on one and looks at one share."""

from __future__ import annotations

from typing import Any, Final

from psycopg import AsyncConnection

from api.exchange import Exchange
from api.projection_shapes import ReadModelItem
from api.verified_words import verdict
from domain.errors import NotFound
from projections.catalogue import READ_MODELS
from projections.orders import orders_of
from projections.standing import Telling, standings

NAMES: Final = tuple(model.name for model in READ_MODELS)


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
    in_chinese = exchange.language == "zh"
    orders = await orders_of(connection, read_model, in_chinese=in_chinese)
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
