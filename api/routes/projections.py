"""The read models as operators see and rebuild them: the twin of ``owl projections``.

An order is recorded as an event and obeyed by the leading worker within seconds. What came of
it stands in the log, and here, by the position that the answer's ``Owl-Position`` names.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, cast, get_args

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from api.body import RequestBody
from api.envelope import Envelope
from api.exchange import Exchange
from api.messages import Text
from api.policy import ADMIN, READER
from commands.read_models import AskAct, Noted, ask_act
from domain.errors import NotFound
from domain.system.read_models import Act
from projections.catalogue import READ_MODELS
from projections.orders import Order, orders_of
from projections.standing import ReadModelStanding, standings

ORDERED: Final = Text("已记录，稍后执行", "Recorded: the leading worker does it")
NAMES: Final = frozenset(model.name for model in READ_MODELS)


class RebuildRequest(RequestBody):
    """How to build a read model anew."""

    switching: Annotated[
        Literal["auto", "manual"],
        Meta(
            description="`manual` builds, compares and waits for `switch`.",
            examples=["manual"],
        ),
    ] = "auto"
    max_load: Annotated[
        float,
        Meta(
            ge=0.01,
            le=1,
            description="The share of the time in which it works; it rests for the others.",
            examples=[0.5],
        ),
    ] = 0.5


class OrderReceipt(Struct, frozen=True, kw_only=True):
    """The order is in the log."""

    read_model: str
    act: Act


class ReadModelList(Struct, frozen=True, kw_only=True):
    """All read models."""

    read_models: tuple[ReadModelStanding, ...]
    as_of: datetime


class ReadModelItem(Struct, frozen=True, kw_only=True):
    """One read model, and what was ordered of it lately."""

    standing: ReadModelStanding
    orders: tuple[Order, ...]
    as_of: datetime


@get("/projections", opt=READER)
async def list_read_models(exchange: NamedDependency[Exchange]) -> Envelope[ReadModelList]:
    """读模型列表: how far each generation is, and what is being built."""
    async with exchange.reading() as connection:
        found = await standings(connection)
    now = exchange.platform.clock()
    return exchange.reply(ReadModelList(read_models=found, as_of=now))


@get("/projections/{read_model:str}", opt=READER)
async def read_read_model(
    read_model: FromPath[str], exchange: NamedDependency[Exchange]
) -> Envelope[ReadModelItem]:
    """读模型状态: the progress of its rebuild, and what came of the last ten orders."""
    async with exchange.reading() as connection:
        found = [each for each in await standings(connection) if each.read_model == read_model]
        orders = await orders_of(connection, read_model)
    if not found:
        raise NotFound("no such read model")
    now = exchange.platform.clock()
    return exchange.reply(ReadModelItem(standing=found[0], orders=orders, as_of=now))


@post("/projections/{read_model:str}/rebuilds", opt=ADMIN, status_code=200)
async def rebuild(
    read_model: FromPath[str],
    data: JSONBody[RebuildRequest],
    exchange: NamedDependency[Exchange],
) -> Envelope[OrderReceipt]:
    """重建读模型: beside the live one, compared with it, then switched to unless `manual`."""
    order = AskAct(
        read_model=_known(read_model),
        act="rebuild",
        switching=data.switching,
        max_load=data.max_load,
    )
    return await _ordered(exchange, order)


@post("/projections/{read_model:str}/{act:str}", opt=ADMIN, status_code=200)
async def act(
    read_model: FromPath[str], act: FromPath[str], exchange: NamedDependency[Exchange]
) -> Envelope[OrderReceipt]:
    """操作读模型: pause, resume, cancel, verify, switch, rollback, drop-old."""
    if act not in get_args(Act) or act == "rebuild":
        raise NotFound("no such act")
    order = AskAct(
        read_model=_known(read_model), act=cast("Act", act), switching="auto", max_load=1.0
    )
    return await _ordered(exchange, order)


async def _ordered(exchange: Exchange, order: AskAct) -> Envelope[OrderReceipt]:
    await exchange.run(ask_act, order, Noted)
    return exchange.reply(OrderReceipt(read_model=order.read_model, act=order.act), ORDERED)


def _known(read_model: str) -> str:
    if read_model not in NAMES:
        raise NotFound("no such read model")
    return read_model


ROUTER = Router(
    path="/admin",
    route_handlers=[list_read_models, read_read_model, rebuild, act],
    tags=["管理 Administration"],
)
