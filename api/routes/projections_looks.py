"""Looks at what a rebuild would do, how far it is, and what differs before queries see it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Annotated, Final

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Stream

from api.crowding import at_once
from api.envelope import Envelope
from api.exchange import Exchange
from api.last_event_id import last_event_id
from api.long_work import Compare, Done
from api.messages import Text
from api.policy import READER
from api.projection_shapes import ReadModelDiff, ReadModelNews, RebuildPlanned, diff_of
from api.read_model_facts import verified_fact
from api.read_model_items import item_of, known, telling_in
from api.read_model_texts import why_not
from api.reading import reading
from api.rebuild_watch import RebuildWatch
from api.refusals import refuses
from api.rejection import Rejection
from api.server_sent import MEDIA_TYPE, ServerSentStream
from commands.event_log.secrets import Secrets
from commands.read_models import NoteAct, note_act
from domain.errors import NotFound
from projections.not_possible import NotPossible
from projections.standing import alone_of, plan_of
from projections.verified import Verified

WATCHES_AT_ONCE: Final = 4
"""So many watches one person may have in a process; ``api.tails`` bounds them all."""
DIFFS_AT_ONCE: Final = 2
"""Of one person; ``api.long_looks`` bounds them all."""
DIFF_WITHIN_S: Final = 60.0
ROWS_MAX: Final = 1_000
TOO_LARGE: Final = Text(
    "行数太多，一分钟内比较不完：请下令 verify，或在服务器上运行 owl projections diff",
    "There are too many rows to compare within a minute: order `verify`, or run"
    " `owl projections diff` where the platform is",
)


@get("/projections/{read_model:str}/plan", opt=READER)
async def plan(
    read_model: FromPath[str], exchange: NamedDependency[Exchange]
) -> Envelope[RebuildPlanned]:
    """重建计划: what a rebuild would do: changed folds, events to read, disk, time.

    Nothing is begun. Folds are compared as this server has them.
    """
    async with exchange.reading() as connection:
        found = await plan_of(connection, known(read_model))
    if found is None:
        raise NotFound("no such read model")
    return exchange.reply(RebuildPlanned(plan=found, as_of=exchange.platform.clock()))


@get(
    "/projections/{read_model:str}/progress",
    opt=READER
    | at_once(WATCHES_AT_ONCE)
    | refuses("RATE_LIMITED")
    | {"media_types": (MEDIA_TYPE,), "headers": ("Last-Event-ID",)},
)
async def watch(
    read_model: FromPath[str],
    exchange: NamedDependency[Exchange],
    max_seconds: FromQuery[
        Annotated[
            int,
            QueryParameter(ge=1, le=3600, description="It ends after so long. 最长时间，秒"),
        ]
    ] = 3600,
) -> Stream:
    """跟踪重建进度: the read model's standing and orders as they change, as server-sent events.

    Each event's ``data`` is ``{standing, orders}`` as of ``GET …/{read_model}``, at most once a
    second; the first comes at once. With ``Last-Event-ID`` nothing comes until something has
    changed since that one. It does not end with the rebuild: whoever waits for one looks for
    the order's ``position`` and its ``state``, and for ``rebuild.step``. It ends with the event
    ``end``, which says why: the token is no longer good, time is up, the server stops, the
    database is out of reach.
    """
    name, platform = known(read_model), exchange.platform

    async def standing() -> ReadModelNews:
        async with reading(platform.pool, platform.config.read_deadline_s) as connection:
            item = await item_of(exchange, connection, name)
        return ReadModelNews(standing=item.standing, orders=item.orders)

    last_id = last_event_id(exchange)
    exchange.desk.tails.take()
    watching = RebuildWatch(exchange, standing, last_id=last_id, max_s=max_seconds)
    return ServerSentStream(watching, exchange.desk.tails)


@get(
    "/projections/{read_model:str}/diff",
    opt=READER | at_once(DIFFS_AT_ONCE) | refuses("INVALID_STATE", "RATE_LIMITED"),
)
async def diff(
    read_model: FromPath[str],
    exchange: NamedDependency[Exchange],
    limit: FromQuery[
        Annotated[
            int,
            QueryParameter(ge=0, le=ROWS_MAX, description="How many rows, at most. 最多行数"),
        ]
    ] = 20,
) -> Envelope[ReadModelDiff]:
    """比较两代数据: the live rows and those that are built and wait, or are kept, row by row.

    By the same folds they are compared at one position and any difference is a finding; where
    other folds made one side it is told how many rows differ, and in which columns. Columns
    that only one side has are named and not compared. It takes a minute at most, a server does
    one at a time, and that it was done is an event, without any row.
    """
    name = known(read_model)
    async with exchange.reading() as connection:
        alone = await alone_of(connection, name)
    if alone is not None:
        nothing = NotPossible(name, "nothing_beside", live=alone)
        raise Rejection("INVALID_STATE", message=why_not(nothing))
    looks = exchange.desk.long_looks
    looks.take("compare")
    try:
        found = await _compared(exchange, name, limit)
    except NotPossible as no:
        raise Rejection("INVALID_STATE", message=why_not(no)) from no
    except TimeoutError as late:
        raise Rejection("INVALID_STATE", message=TOO_LARGE) from late
    finally:
        looks.leave("compare")
    await exchange.note(note_act, NoteAct(fact=verified_fact(found)))
    return exchange.reply(diff_of(found, telling_in(exchange)(found)))


async def _compared(exchange: Exchange, name: str, limit: int) -> Verified:
    secrets = exchange.platform.secrets
    assert isinstance(secrets, Secrets), "the child is given the keys themselves"
    work = Compare(
        read_model=name,
        limit=limit,
        pepper=secrets.pepper,
        sealing_key=secrets.sealing_key,
    )
    async with (
        asyncio.timeout(DIFF_WITHIN_S),
        aclosing(exchange.desk.long_looks.look(work)) as words,
    ):
        async for word in words:
            if isinstance(word, Done):
                return msgspec.json.decode(word.result, type=Verified)
    raise AssertionError("a look ends with its result")


ROUTER = Router(path="/admin", route_handlers=[plan, watch, diff], tags=["管理 Administration"])
