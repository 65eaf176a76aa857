"""One user, task, server or code through time: what happened to it, and what it was when.

A state is the fold of the entity's own streams, read by their index, from the last state that
was kept (``snapshots``): it takes neither longer for a long log nor for an old entity.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, Literal, TypeAlias, get_args
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.sql import SQL

from domain.catalogue import decode
from domain.ids import account_stream
from domain.recharge.redeemers import Redeemers
from projections.audit.folds import OF_ACCOUNT, OF_CODE, OF_SERVER, OF_TASK, OF_USER, Fold
from projections.audit.snapshots import FIRST, TOGETHER, Snapshots, fold_upto
from projections.audit.story import COLUMNS, Entry, entry, rows

Kind = Literal["user", "task", "server", "code"]
Shape: TypeAlias = dict[str, Any]

OF_STREAM: Final = SQL("""
    SELECT {columns} FROM owl_log.events
    WHERE originator_id = %(stream)s AND originator_version > %(version)s
    ORDER BY originator_version LIMIT %(limit)s
""").format(columns=COLUMNS)
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
        if kind not in get_args(Kind):
            kinds = ", ".join(f"{each}:ID" for each in get_args(Kind))
            raise NoEntity(f"{text!r} is none of {kinds}")
        try:
            return cls(msgspec.convert(kind, Kind), UUID(name))
        except ValueError:
            raise NoEntity(f"{name!r} is not the id of a {kind}") from None

    @property
    def parts(self) -> tuple[tuple[UUID, Fold], ...]:
        """The streams that it is made of, and how each folds."""
        match self.kind:
            case "user":
                return ((self.id, OF_USER), (account_stream(self.id), OF_ACCOUNT))
            case "task":
                return ((self.id, OF_TASK),)
            case "server":
                return ((self.id, OF_SERVER),)
            case "code":
                return ((self.id, OF_CODE),)

    @property
    def streams(self) -> list[UUID]:
        """The ids of its streams."""
        return [stream for stream, _ in self.parts]


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
    snapshots: Snapshots | None = None,
) -> list[Step]:
    """All that happened to an entity up to a position, or the first of it above ``after``."""
    told: dict[UUID, _Told] = {}
    for stream, fold in entity.parts:
        before = after and await fold_upto(connection, fold, stream, after, snapshots)
        told[stream] = (
            _Told(fold, before.place.version, before.state) if before else _Told(fold)
        )
    steps: list[Step] = []
    async for event in _events(connection, told, until):
        steps.append(Step(event, told[event.stream].take(event)))
        if len(steps) == limit:
            break
    return steps


async def state(
    connection: AsyncConnection[Any],
    entity: Entity,
    at: int,
    *,
    snapshots: Snapshots | None = None,
) -> Shape:
    """What an entity was after the event at position ``at``; empty before it was there.

    Without ``snapshots`` it is folded from its first event, by the log alone.
    """
    shape: Shape = {}
    for stream, fold in entity.parts:
        folded = await fold_upto(connection, fold, stream, at, snapshots)
        if folded is not None:
            shape |= _shape(fold.name, folded.state)
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


class _Told:
    """A stream that is told: how far, and what it was by then."""

    def __init__(self, fold: Fold, version: int = 0, state: Any = None) -> None:
        self.fold = fold
        self.version = version
        self._state = state if version else fold.decider.initial
        self._shape = _shape(fold.name, state) if version else {}

    def take(self, event: Entry) -> dict[str, tuple[Any, Any]]:
        """Fold the next event; what it changed."""
        self._state = self.fold.decider.evolve(self._state, decode(bytes(event.fact)))
        before, self._shape = self._shape, _shape(self.fold.name, self._state)
        return differences(before, self._shape)


async def _events(
    connection: AsyncConnection[Any], told: dict[UUID, _Told], until: int
) -> AsyncIterator[Entry]:
    """The next events of all its streams in the log's order, some at a time."""
    waiting = [_of_part(connection, stream, each, until) for stream, each in told.items()]
    heads = [(await anext(each, None), each) for each in waiting]
    while known := [(head.position, at) for at, (head, _) in enumerate(heads) if head]:
        _, first = min(known)
        head, rest = heads[first]
        assert head is not None
        yield head
        heads[first] = (await anext(rest, None), rest)


async def _of_part(
    connection: AsyncConnection[Any], stream: UUID, told: _Told, until: int
) -> AsyncIterator[Entry]:
    """The next events of a stream; none when another kind of thing has the id."""
    version, limit = told.version, FIRST
    while True:
        wanted = {"stream": stream, "version": version, "limit": limit}
        found = await rows(connection, OF_STREAM, wanted)
        for each in map(entry, found):
            begins = told.fold.decider.begins
            if each.position > until or (
                not version and each.version == 1 and not begins(type(decode(bytes(each.fact))))
            ):
                return
            yield each
        if len(found) < limit:
            return
        version, limit = found[-1][2], TOGETHER


def _shape(name: str, folded: Any) -> Shape:
    """A state as flat JSON, each field under the name of its part."""
    fields = msgspec.structs.asdict(folded)
    redeemers = fields.pop("redeemed_by", None)
    if isinstance(redeemers, Redeemers):  # up to 10,000: their number will do
        fields["used_count"] = len(redeemers)
    return {f"{name}.{field}": msgspec.to_builtins(value) for field, value in fields.items()}
