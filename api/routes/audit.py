"""The audit interface: what happened, to whom, and why. Every request is itself an event.

The twin of ``owl audit``, on the same functions. What it shows is the log as it stood before
the event of the request itself; personal fields stay encrypted, as they are stored.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal
from uuid import UUID

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Stream
from msgspec.structs import replace

from api.accesses import accessed
from api.audit_asking import (
    LOOKS_AT_ONCE,
    Account,
    ActorName,
    After,
    AmountMin,
    Asked,
    Correlation,
    EntityName,
    From,
    Limit,
    StreamId,
    Tag,
    To,
    number_in,
    soon,
    stretch,
)
from api.audit_shapes import EventPage, ProvenEvent
from api.crowding import at_once
from api.envelope import Envelope
from api.exchange import Exchange
from api.last_event_id import last_event_id
from api.long_looks import NOT_SIGNED
from api.policy import READER
from api.refusals import refuses
from api.rejection import Rejection
from api.server_sent import MEDIA_TYPE, ServerSentStream
from api.tail import Tail
from domain.errors import NotFound
from projections.audit import story
from projections.audit.proving import NotSigned, prove_event
from projections.audit.story import Entry

TAILS_AT_ONCE: Final = 4
"""So many tails one person may have in a process; ``api.tails`` bounds them all."""
Proof = Annotated[
    bool,
    QueryParameter(description="With a proof that the event is in the signed log. 附带证明"),
]


@get("/events", opt=READER | at_once(LOOKS_AT_ONCE))
async def list_events(
    exchange: NamedDependency[Exchange],
    since: FromQuery[From] = None,
    until: FromQuery[To] = None,
    tag: FromQuery[Tag] = None,
    stream: FromQuery[StreamId] = None,
    entity: FromQuery[EntityName] = None,
    actor: FromQuery[ActorName] = None,
    account: FromQuery[Account] = None,
    correlation: FromQuery[Correlation] = None,
    amount_min: FromQuery[AmountMin] = None,
    order: FromQuery[
        Annotated[
            Literal["asc", "desc"],
            QueryParameter(description="The log's order, or the newest first. 顺序"),
        ]
    ] = "asc",
    limit: FromQuery[Limit] = 50,
    after: FromQuery[After] = None,
) -> Envelope[EventPage]:
    """查询事件日志: events in the log's order, or the newest first, by any of the filters.

    Go on with ``after``: a page that is not the last has ``next_after``, however short it is.
    """
    asked = Asked(
        tag=tag,
        stream=stream,
        entity=entity,
        actor=actor,
        account=account,
        correlation=correlation,
        amount_min=amount_min,
    )
    async with exchange.reading() as connection:
        first, last = await stretch(connection, since, until)
    access = await accessed(exchange, after=first, until=last)
    upto = access.upto(last)
    newest_first = order == "desc"
    low = first if after is None or newest_first else max(first, after)
    high = upto if after is None or not newest_first else min(upto, after - 1)
    async with exchange.reading() as connection:
        found = await story.look(
            connection,
            asked.filter(low, high),
            limit,
            newest_first=newest_first,
            enough=soon(),
        )
    onwards = found.onwards
    if onwards is not None and newest_first:
        onwards += 1  # what was given last, as in the other order
    return exchange.reply(EventPage(items=found.entries, upto=upto, next_after=onwards))


@get(
    "/events/stream",
    opt=READER
    | at_once(TAILS_AT_ONCE)
    | refuses("RATE_LIMITED")
    | {"media_types": (MEDIA_TYPE,), "headers": ("Last-Event-ID",)},
)
async def follow_events(
    exchange: NamedDependency[Exchange],
    tag: FromQuery[Tag] = None,
    stream: FromQuery[StreamId] = None,
    entity: FromQuery[EntityName] = None,
    actor: FromQuery[ActorName] = None,
    account: FromQuery[Account] = None,
    correlation: FromQuery[Correlation] = None,
    amount_min: FromQuery[AmountMin] = None,
    after: FromQuery[After] = None,
    max_seconds: FromQuery[
        Annotated[
            int,
            QueryParameter(ge=1, le=3600, description="It ends after so long. 最长时间，秒"),
        ]
    ] = 3600,
) -> Stream:
    """跟踪事件日志: events as they are recorded, as server-sent events, by the same filters.

    ``id`` is the position. With ``Last-Event-ID``, or ``after``, it goes on after that one,
    without gap or duplicate; else it begins with what comes after the request itself. Comments
    keep it alive. It ends with the event ``end``, which says why: the token is no longer good,
    time is up, the server stops, the log is out of reach. A reader that takes nothing for 20 s
    is cut off. Accesses are shown like any other event; a tail makes one when it begins and
    one when it ends.
    """
    asked = Asked(
        tag=tag,
        stream=stream,
        entity=entity,
        actor=actor,
        account=account,
        correlation=correlation,
        amount_min=amount_min,
    )
    told = last_event_id(exchange)
    since = after if told is None else told  # what a client that comes back sends counts more
    wanted = asked.filter(since or 0, None)
    tails = exchange.desk.tails
    tails.take()
    try:
        access = await accessed(exchange, after=since or 0)
    except BaseException:
        tails.leave()
        raise
    if since is None:
        wanted = replace(wanted, after=access.position)
    return ServerSentStream(Tail(exchange, access, wanted, max_s=max_seconds), tails)


@get("/events/{event:str}", opt=READER | refuses("INVALID_STATE"))
async def read_event(
    event: FromPath[str],
    exchange: NamedDependency[Exchange],
    *,
    proof: FromQuery[Proof] = False,
) -> Envelope[ProvenEvent]:
    """查看一个事件: the event at a position, on request with its proof of inclusion."""
    position = number_in(event)
    if position is None:
        raise NotFound("no event there")
    access = await accessed(exchange, after=position - 1, until=position)
    async with exchange.reading() as connection:
        found = await story.entry_at(connection, access.upto(position))
    if found is None or found.position != position:
        raise NotFound("no event there")
    return exchange.reply(await _shown(exchange, found, proof=proof))


@get("/events/{stream_id:uuid}/{version:str}", opt=READER | refuses("INVALID_STATE"))
async def read_event_by_id(
    stream_id: FromPath[UUID],
    version: FromPath[str],
    exchange: NamedDependency[Exchange],
    *,
    proof: FromQuery[Proof] = False,
) -> Envelope[ProvenEvent]:
    """按编号查看一个事件: the event with this id, which is its stream and its version in it."""
    number = number_in(version)
    if number is None:
        raise NotFound("no event there")
    await accessed(exchange)
    async with exchange.reading() as connection:
        found = await story.entry_of(connection, stream_id, number)
    if found is None:
        raise NotFound("no event there")
    return exchange.reply(await _shown(exchange, found, proof=proof))


async def _shown(exchange: Exchange, found: Entry, *, proof: bool) -> ProvenEvent:
    return ProvenEvent(
        event=found,
        event_id=f"{found.stream}/{found.version}",
        proof=await _proof(exchange, found.position) if proof else None,
    )


async def _proof(exchange: Exchange, position: int) -> str:
    """The event's inclusion in the first checkpoint that covers it.

    Raises:
        Rejection: none does yet.
    """
    try:
        return await exchange.desk.stored.ask(
            lambda log: prove_event(log, position), within_s=exchange.deadline_s
        )
    except NotSigned:
        raise Rejection("INVALID_STATE", message=NOT_SIGNED) from None


ROUTER = Router(
    path="/audit",
    route_handlers=[list_events, follow_events, read_event, read_event_by_id],
    tags=["审计 Audit"],
)
