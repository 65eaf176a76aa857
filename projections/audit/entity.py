"""One user, task, server or code through time: what happened to it, and what it was when.

A state is the fold of the entity's own streams, read by their index: it takes as long as the
entity is old, however long the log is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, Literal, TypeAlias, get_args
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.sql import SQL

from domain.accounts.user import USER
from domain.catalogue import decode
from domain.decider import Decider
from domain.fleet.server import SERVER
from domain.ids import account_stream
from domain.recharge.code import CODE
from domain.recharge.redeemers import Redeemers
from domain.tasks.task import TASK
from domain.wallet.wallet import WALLET
from projections.audit.story import COLUMNS, Entry, entry, rows

Kind = Literal["user", "task", "server", "code"]
Shape: TypeAlias = dict[str, Any]

OF_STREAM: Final = SQL("""
    SELECT {columns} FROM owl_log.events
    WHERE originator_id = %(stream)s AND originator_version > %(version)s
        AND notification_id <= %(until)s
    ORDER BY originator_version LIMIT %(limit)s
""").format(columns=COLUMNS)
TOGETHER: Final = 1_000
CHANGED: Final = """
    SELECT originator_id, min(originator_version), max(originator_version),
        max(notification_id), min(split_part(topic, '.', 1))
    FROM owl_log.events WHERE notification_id > %(after)s AND notification_id <= %(until)s
    GROUP BY originator_id ORDER BY max(notification_id) LIMIT %(limit)s
"""
DIFFERENCES_MAX: Final = 1_000


class NoEntity(Exception):
    """What was given does not name an entity."""


class Entity(Struct, frozen=True):
    """Written as ``kind:id``."""

    kind: Kind
    id: UUID

    @classmethod
    def parse(cls, text: str) -> Entity:
        """An entity from its text.

        Raises:
            NoEntity: it is none.
        """
        kind, _, name = text.partition(":")
        try:
            return cls(msgspec.convert(kind, Kind), UUID(name))
        except ValueError:
            kinds = ", ".join(f"{each}:ID" for each in get_args(Kind))
            raise NoEntity(f"{text!r} is none of {kinds}") from None

    @property
    def parts(self) -> tuple[tuple[str, UUID, Decider[Any]], ...]:
        """The streams that it is made of: what each is called, and how it folds."""
        match self.kind:
            case "user":
                return (("user", self.id, USER), ("account", account_stream(self.id), WALLET))
            case "task":
                return (("task", self.id, TASK),)
            case "server":
                return (("server", self.id, SERVER),)
            case "code":
                return (("code", self.id, CODE),)

    @property
    def streams(self) -> list[UUID]:
        """The ids of its streams."""
        return [stream for _, stream, _ in self.parts]


class Step(Struct, frozen=True):
    """One event of an entity, and what it changed: each field's value before and after."""

    entry: Entry
    changes: dict[str, tuple[Any, Any]]


class ChangedStream(Struct, frozen=True):
    """A stream that grew between two positions."""

    stream: UUID
    first_version: int
    last_version: int
    last_position: int
    category: str


async def history(
    connection: AsyncConnection[Any],
    entity: Entity,
    until: int,
    *,
    after: int = 0,
    limit: int | None = None,
) -> list[Step]:
    """All that happened to an entity up to a position, or the first of it above ``after``."""
    parts = {stream: (name, decider) for name, stream, decider in entity.parts}
    states = {stream: decider.initial for _, stream, decider in entity.parts}
    shapes: dict[UUID, Shape] = {stream: {} for stream in parts}
    steps: list[Step] = []
    async for event in _events(connection, entity, until):
        name, decider = parts[event.stream]
        states[event.stream] = decider.evolve(states[event.stream], decode(bytes(event.fact)))
        before, shape = shapes[event.stream], _shape(name, states[event.stream])
        shapes[event.stream] = shape
        if event.position > after:
            steps.append(Step(event, differences(before, shape)))
        if len(steps) == limit:
            break
    return steps


async def state(connection: AsyncConnection[Any], entity: Entity, at: int) -> Shape:
    """What an entity was after the event at position ``at``; empty before it was there."""
    parts = {stream: (name, decider) for name, stream, decider in entity.parts}
    states: dict[UUID, Any] = {}
    async for event in _events(connection, entity, at):
        _, decider = parts[event.stream]
        folded = states.get(event.stream, decider.initial)
        states[event.stream] = decider.evolve(folded, decode(bytes(event.fact)))
    shape: Shape = {}
    for stream, folded in states.items():
        shape |= _shape(parts[stream][0], folded)
    return shape


async def changed_streams(
    connection: AsyncConnection[Any], after: int, until: int
) -> list[ChangedStream]:
    """The streams that grew above ``after`` up to ``until``, at most a thousand."""
    bounds = {"after": after, "until": until, "limit": DIFFERENCES_MAX}
    return [ChangedStream(*row) for row in await rows(connection, CHANGED, bounds)]


def differences(before: Shape, after: Shape) -> dict[str, tuple[Any, Any]]:
    """The fields that differ, with both values."""
    return {
        name: (before.get(name), after.get(name))
        for name in before | after
        if before.get(name) != after.get(name)
    }


async def _events(
    connection: AsyncConnection[Any], entity: Entity, until: int
) -> AsyncIterator[Entry]:
    """The events of all its streams in the log's order, some at a time."""
    waiting = [_of_part(connection, stream, kind, until) for _, stream, kind in entity.parts]
    heads = [(await anext(each, None), each) for each in waiting]
    while known := [(head.position, at) for at, (head, _) in enumerate(heads) if head]:
        _, first = min(known)
        head, rest = heads[first]
        assert head is not None
        yield head
        heads[first] = (await anext(rest, None), rest)


async def _of_part(
    connection: AsyncConnection[Any], stream: UUID, decider: Decider[Any], until: int
) -> AsyncIterator[Entry]:
    """The events of a stream; none when another kind of thing has the id."""
    version = 0
    while True:
        wanted = {"stream": stream, "version": version, "until": until, "limit": TOGETHER}
        found = await rows(connection, OF_STREAM, wanted)
        for told in map(entry, found):
            if told.version == 1 and not decider.begins(type(decode(bytes(told.fact)))):
                return
            yield told
        if len(found) < TOGETHER:
            return
        version = found[-1][2]


def _shape(name: str, folded: Any) -> Shape:
    """A state as flat JSON, each field under the name of its part."""
    fields = msgspec.structs.asdict(folded)
    redeemers = fields.pop("redeemed_by", None)
    if isinstance(redeemers, Redeemers):  # up to 10,000: their number will do
        fields["used_count"] = len(redeemers)
    return {f"{name}.{field}": msgspec.to_builtins(value) for field, value in fields.items()}
