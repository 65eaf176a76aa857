"""Users, tasks, servers and codes through time, and what led to what.

The twin of ``owl audit history``, ``state``, ``diff`` and ``trace``, on the same functions.
"""

from __future__ import annotations

import re
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from api.accesses import accessed
from api.audit_asking import (
    A_MOMENT,
    LOOKS_AT_ONCE,
    MOMENT,
    WRITTEN_AS_MOMENT,
    After,
    AsOf,
    DiffEntity,
    Limit,
    To,
    faults_of_order,
    moment,
    number_in,
    soon,
)
from api.audit_shapes import Difference, EntityState, HistoryPage, TraceAnswer
from api.crowding import at_once
from api.envelope import Envelope
from api.exchange import Exchange
from api.messages import Fault
from api.policy import READER
from api.query import between
from api.rejection import InvalidRequest
from domain.errors import NotFound
from projections.audit import entity as entities
from projections.audit import story
from projections.audit.entity import Entity, Kind
from projections.audit.story import Entry
from projections.audit.trace import Trace, trace_correlation, trace_position

STRETCH_MAX: Final = 100_000
"""How many events a difference without an entity may span."""
_CORRELATION: Final = re.compile(r"[A-Za-z0-9_:.-]{1,100}")
Since = Annotated[
    str,
    QueryParameter(
        name="from",
        pattern=MOMENT,
        description="What changed after this position or time (RFC 3339). 起始位置或时间",
    ),
    WRITTEN_AS_MOMENT,
    A_MOMENT,
]


@get("/entities/{kind:str}/{entity_id:uuid}/history", opt=READER | at_once(LOOKS_AT_ONCE))
async def read_history(
    kind: FromPath[str],
    entity_id: FromPath[UUID],
    exchange: NamedDependency[Exchange],
    after: FromQuery[After] = None,
    limit: FromQuery[Limit] = 100,
) -> Envelope[HistoryPage]:
    """查看实体的历史: what happened to a user, task, server or code, and what it changed."""
    entity = _entity(kind, entity_id)
    access = await accessed(exchange, after=after or 0)
    upto = access.upto(None)
    async with exchange.reading() as connection:
        steps = await entities.history(
            connection,
            entity,
            upto,
            after=after or 0,
            limit=limit + 1,
            snapshots=exchange.platform.snapshots,
        )
    if not steps and not after:
        raise NotFound
    more = len(steps) > limit
    steps = steps[:limit]
    onwards = steps[-1].entry.position if more else None
    return exchange.reply(HistoryPage(items=steps, upto=upto, next_after=onwards))


@get("/entities/{kind:str}/{entity_id:uuid}", opt=READER | at_once(LOOKS_AT_ONCE))
async def read_state(
    kind: FromPath[str],
    entity_id: FromPath[UUID],
    exchange: NamedDependency[Exchange],
    as_of: FromQuery[AsOf] = None,
) -> Envelope[EntityState]:
    """查看实体在某一时刻的状态: what it was, folded from its own events; 404 before it was."""
    entity, at = _entity(kind, entity_id), moment(as_of)
    async with exchange.reading() as connection:
        until = await story.position_of(connection, at)
    access = await accessed(exchange, until=until)
    upto = access.upto(until)
    async with exchange.reading() as connection:
        shape = await entities.state(
            connection, entity, upto, snapshots=exchange.platform.snapshots
        )
    if not shape:
        raise NotFound
    found = EntityState(entity=f"{kind}:{entity_id}", position=upto, state=shape)
    return exchange.reply(found)


@get("/diff", opt=READER | at_once(LOOKS_AT_ONCE) | between(faults_of_order))
async def read_difference(
    exchange: NamedDependency[Exchange],
    since: FromQuery[Since],
    until: FromQuery[To] = None,
    entity: FromQuery[DiffEntity] = None,
) -> Envelope[Difference]:
    """比较两个时刻: which fields of an entity changed in between, or which streams grew."""
    named = None if entity is None else Entity.parse(entity)
    first, last = moment(since), moment(until)
    async with exchange.reading() as connection:
        low = await story.position_of(connection, first) or 0
        high = await story.position_of(connection, last)
        head = await story.head(connection)
    _check_stretch(low, min(head, head if high is None else high), whole=named is None)
    access = await accessed(exchange, after=low, until=high)
    upto = access.upto(high)
    found = Difference(after=low, upto=upto)
    async with exchange.reading() as connection:
        if named is None:
            found.streams = await entities.changed_streams(connection, low, upto)
        else:
            kept = exchange.platform.snapshots
            found.changes = entities.differences(
                await entities.state(connection, named, low, snapshots=kept),
                await entities.state(connection, named, upto, snapshots=kept),
            )
    return exchange.reply(found)


@get("/trace/{cause:str}", opt=READER | at_once(LOOKS_AT_ONCE))
async def read_trace(
    cause: FromPath[str], exchange: NamedDependency[Exchange]
) -> Envelope[TraceAnswer]:
    """追溯因果: all that led to an event and came of it, or all of a request, as a tree.

    Give a position or a request id. Without ``is_complete`` these are the first thousand.
    """
    if not _CORRELATION.fullmatch(cause):
        raise NotFound
    position = number_in(cause)
    access = await accessed(exchange)
    upto = access.upto(None)
    async with exchange.reading() as connection:
        if position is None:
            found = await trace_correlation(connection, cause, until=upto, enough=soon())
        elif position > upto:
            raise NotFound
        else:
            found = await trace_position(connection, position, until=upto, enough=soon())
    return exchange.reply(_told(found, upto))


@get("/trace/{stream_id:uuid}/{version:str}", opt=READER | at_once(LOOKS_AT_ONCE))
async def read_trace_by_id(
    stream_id: FromPath[UUID], version: FromPath[str], exchange: NamedDependency[Exchange]
) -> Envelope[TraceAnswer]:
    """按事件编号追溯因果: the same for the event with this id."""
    number = number_in(version)
    if number is None:
        raise NotFound
    access = await accessed(exchange)
    upto = access.upto(None)
    async with exchange.reading() as connection:
        event: Entry | None = await story.entry_of(connection, stream_id, number)
        if event is None or event.position > upto:
            raise NotFound
        found = await trace_position(connection, event.position, until=upto, enough=soon())
    return exchange.reply(_told(found, upto))


def _told(found: Trace, upto: int) -> TraceAnswer:
    if not found.events:
        raise NotFound
    return TraceAnswer(items=found.events, upto=upto, is_complete=found.is_complete)


def _entity(kind: str, entity_id: UUID) -> Entity:
    try:
        return Entity(msgspec.convert(kind, Kind), entity_id)
    except msgspec.ValidationError:
        raise NotFound from None


def _check_stretch(low: int, high: int, *, whole: bool) -> None:
    if high < low:
        raise InvalidRequest({"to": [Fault("at_least", {"limit": low})]})
    if whole and high - low > STRETCH_MAX:
        raise InvalidRequest({"from": [Fault("too_many_events", {"limit": STRETCH_MAX})]})


ROUTER = Router(
    path="/audit",
    route_handlers=[
        read_history,
        read_state,
        read_difference,
        read_trace,
        read_trace_by_id,
    ],
    tags=["审计 Audit"],
)
