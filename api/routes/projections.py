"""The read models as operators see and rebuild them: the twin of ``owl projections``.

An order is recorded as an event and obeyed by the leading worker within seconds. What came of
it stands in the log, and here, by the position that the answer's ``Owl-Position`` names.
"""

from __future__ import annotations

from typing import Final, cast, get_args

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from api.envelope import Envelope
from api.exchange import Exchange
from api.messages import Text
from api.policy import ADMIN, READER
from api.projection_shapes import (
    NAMES,
    OrderReceipt,
    OrderReceipts,
    ReadModelItem,
    ReadModelList,
    RebuildRequest,
    RebuildsRequest,
)
from api.read_model_items import item_of, known, telling_in
from commands.read_models import AskAct, Noted, ask_act
from domain.errors import NotFound
from domain.system.read_models import Act
from projections.standing import standings

ORDERED: Final = Text("已记录，稍后执行", "Recorded: the leading worker does it")


@get("/projections", opt=READER)
async def list_read_models(exchange: NamedDependency[Exchange]) -> Envelope[ReadModelList]:
    """读模型列表: how far each generation is, what is being built, how they last compared."""
    async with exchange.reading() as connection:
        found = await standings(connection, telling_in(exchange))
    now = exchange.platform.clock()
    return exchange.reply(ReadModelList(read_models=found, as_of=now))


@get("/projections/{read_model:str}", opt=READER)
async def read_read_model(
    read_model: FromPath[str], exchange: NamedDependency[Exchange]
) -> Envelope[ReadModelItem]:
    """读模型状态: the progress of its rebuild, and what came of the last ten orders."""
    async with exchange.reading() as connection:
        found = await item_of(exchange, connection, known(read_model))
    return exchange.reply(found)


@post("/projections/rebuilds", opt=ADMIN, status_code=200)
async def rebuild_several(
    data: JSONBody[RebuildsRequest], exchange: NamedDependency[Exchange]
) -> Envelope[OrderReceipts]:
    """重建多个读模型: those named, or all, in one pass over the log: the twin of `--all`."""
    names = tuple(name for name in NAMES if not data.read_models or name in data.read_models)
    await exchange.run(ask_act, _rebuilds(names, data), Noted)
    receipts = tuple(OrderReceipt(read_model=name, act="rebuild") for name in names)
    return exchange.reply(OrderReceipts(orders=receipts), ORDERED)


@post("/projections/{read_model:str}/rebuilds", opt=ADMIN, status_code=200)
async def rebuild(
    read_model: FromPath[str],
    data: JSONBody[RebuildRequest],
    exchange: NamedDependency[Exchange],
) -> Envelope[OrderReceipt]:
    """重建读模型: beside the live one, compared with it, then switched to unless `manual`."""
    return await _ordered(exchange, _rebuilds((known(read_model),), data))


@post("/projections/{read_model:str}/{act:str}", opt=ADMIN, status_code=200)
async def act(
    read_model: FromPath[str], act: FromPath[str], exchange: NamedDependency[Exchange]
) -> Envelope[OrderReceipt]:
    """操作读模型: pause, resume, cancel, verify, switch, rollback, drop-old."""
    if act not in get_args(Act) or act == "rebuild":
        raise NotFound("no such act")
    return await _ordered(
        exchange, AskAct(read_models=(known(read_model),), act=cast("Act", act))
    )


async def _ordered(exchange: Exchange, order: AskAct) -> Envelope[OrderReceipt]:
    await exchange.run(ask_act, order, Noted)
    (name,) = order.read_models
    return exchange.reply(OrderReceipt(read_model=name, act=order.act), ORDERED)


def _rebuilds(names: tuple[str, ...], wanted: RebuildRequest) -> AskAct:
    return AskAct(
        read_models=names,
        act="rebuild",
        switching=wanted.switching,
        max_load=wanted.max_load,
        workers=wanted.workers,
    )


ROUTER = Router(
    path="/admin",
    route_handlers=[list_read_models, read_read_model, rebuild_several, rebuild, act],
    tags=["管理 Administration"],
)
