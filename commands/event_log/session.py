"""The writer's two connections to the log: one commits, the other reads what decisions need.

Two, so that streams are loaded while a commit waits for the disk. Law: the append lock, the
insert and every check of a commit are sent from here and from the telemetry log alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from msgspec import Struct
from psycopg.pq.abc import PGresult

from commands.event_log.batch import INSERTS, STATEMENTS, Batch
from commands.event_log.columns import UUID_OID, array_of_16, array_of_int8, int8
from commands.event_log.failures import ConnectionLost, LogFailure, Unreadable
from commands.event_log.personal import PERSONAL, SubjectKeys, opened, owner
from commands.event_log.repeats import READ_RECEIPTS, Receipt, receipts_in
from commands.event_log.row_calls import ROW_STATEMENTS
from commands.event_log.secrets import Secrets
from commands.event_log.wire import Answer, Call, Statement, Wire, rows
from domain.catalogue import decode
from domain.facts import Fact

READ_STREAMS = Statement(
    b"read_streams",
    """
    SELECT event.originator_id, event.originator_version, event.state
    FROM unnest($1::uuid[], $2::bigint[]) AS wanted (stream, after)
    JOIN owl_log.events AS event
        ON event.originator_id = wanted.stream AND event.originator_version > wanted.after
    ORDER BY event.originator_id, event.originator_version
    """,
)
READ_KEYS = Statement(
    b"read_keys",
    "SELECT user_id, key FROM owl_private.subject_keys WHERE user_id = ANY($1::uuid[])",
)
# The server may not have read yet what was sent on a connection that is lost: it must be dead
# before the log is asked, or it could still commit afterwards.
END_BACKEND = Statement(
    b"end_backend",
    """
    SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
    WHERE pid = $1::bigint AND backend_start = $2::text::timestamptz
    """,
)
READ_OUTCOMES = Statement(
    b"read_outcomes",
    """
    SELECT command_id, max(notification_id) FROM owl_log.events
    WHERE command_id = ANY($1::uuid[]) GROUP BY command_id
    UNION ALL
    SELECT command_id, position FROM owl_private.receipts WHERE command_id = ANY($1::uuid[])
    """,
)
READS = (READ_STREAMS, READ_KEYS, READ_RECEIPTS)
APPENDS = (*STATEMENTS, *ROW_STATEMENTS, END_BACKEND, READ_OUTCOMES)


class SessionConfig(Struct, frozen=True, kw_only=True):
    """The lock is given up well before the deadline, so that a command hears why in time."""

    lock_timeout_s: float = 2.0
    timeout_s: float = 2.5


Facts = list[Fact] | Unreadable
"""What a stream says; one that cannot be read hurts those alone who ask for it."""


class Answers(Struct, frozen=True):
    """What ``LogSession.read`` found; receipts by the client's key. No news, no entry."""

    streams: dict[UUID, Facts]
    receipts: dict[UUID, Receipt]


class LogSession:
    """Open connections and what may be asked on them. Used by one event loop."""

    def __init__(self, conninfo: str, secrets: Secrets, config: SessionConfig) -> None:
        self._conninfo = conninfo
        self._secrets = secrets
        self._config = config
        self._appending: Wire | None = None
        self._reading: Wire | None = None
        self._connecting = asyncio.Lock()
        self.keys = SubjectKeys()

    async def connect(self) -> None:
        """Open what is not open.

        Raises:
            LogFailure: the server is not there.
        """
        async with self._connecting:
            if self._appending is None:
                self._appending = await self._open(APPENDS)
            if self._reading is None or self._reading.closed:
                self._reading = await self._open(READS)

    def close(self) -> None:
        """Close both; whoever waits hears that the connection is lost."""
        for wire in (self._appending, self._reading):
            if wire is not None:
                wire.close()

    def append(
        self,
        batch: Batch,
        guards: Sequence[tuple[UUID, int]],
        recorded_at: datetime,
        landed: Callable[[int | LogFailure], None],
    ) -> None:
        """Commit; ``landed`` hears the position of the batch's first event, 0 without any."""
        calls = batch.calls(guards, recorded_at)
        index = next((n for n, call in enumerate(calls) if call.statement in INSERTS), -1)

        def answered(answer: Answer) -> None:
            if isinstance(answer, LogFailure):
                landed(answer)
            else:
                landed(0 if index < 0 else first_position(answer[index], len(batch)))

        assert self._appending is not None, "connect first"
        self._appending.send(calls, answered, self._config.timeout_s)

    async def read(
        self,
        streams: Mapping[UUID, int],
        users: Collection[UUID] = (),
        repeats: Collection[UUID] = (),
    ) -> Answers:
        """Streams after a version each, users' keys, receipts by key; in one round trip.

        Raises:
            LogFailure: the log is out of reach.
        """
        calls = []
        if streams:
            after = array_of_int8(list(streams.values()))
            calls.append(Call(READ_STREAMS, (uuids(streams), after)))
        if users:
            calls.append(Call(READ_KEYS, (uuids(users),)))
        if repeats:
            calls.append(Call(READ_RECEIPTS, (uuids(repeats),)))
        found = await self._ask_reading(calls)
        self._keep_keys(users, found.get(READ_KEYS))
        return Answers(
            streams=await self._opened(streams_in(found.get(READ_STREAMS))),
            receipts=receipts_in(found.get(READ_RECEIPTS)),
        )

    async def outcomes(self, commands: Collection[UUID]) -> dict[UUID, int]:
        """Which of these commands were recorded, with the position of their last event.

        To be asked after the connection that sent them was lost; opens another one.

        Raises:
            LogFailure: the log is out of reach, or that connection's server process still runs.
        """
        lost = self._appending
        assert lost is not None
        assert lost.closed, "a connection that lives will answer by itself"
        fresh = await self._open(APPENDS)
        backend = (int8(lost.backend_pid), lost.backend_start.encode())
        calls = (Call(END_BACKEND, backend), Call(READ_OUTCOMES, (uuids(commands),)))
        try:
            ended, result = await fresh.ask(calls, self._config.timeout_s)
        except BaseException:
            fresh.close()
            raise
        if (b"\x00",) in rows(ended):
            fresh.close()
            raise ConnectionLost("the lost connection's server process still runs")
        self._appending = fresh
        return {
            UUID(bytes=command): int.from_bytes(position, "big")
            for command, position in rows(result)
        }

    async def _ask_reading(self, calls: Sequence[Call]) -> dict[Statement, PGresult]:
        await self.connect()
        assert self._reading is not None
        results = await self._reading.ask(calls, self._config.timeout_s)
        return dict(zip((call.statement for call in calls), results, strict=True))

    def _keep_keys(
        self, users: Collection[UUID], result: PGresult | None
    ) -> dict[UUID, bytes | None]:
        wrapped = {UUID(bytes=user): key for user, key in rows(result)}
        found = {
            user: self._secrets.unwrap_key(user, wrapped[user]) if user in wrapped else None
            for user in users
        }
        for user, key in found.items():
            self.keys.put(user, key)
        return found

    async def _opened(self, streams: dict[UUID, Facts]) -> dict[UUID, Facts]:
        """Personal fields in the clear: a state is the fold of what was said."""
        owners = {
            owner(fact)
            for facts in streams.values()
            if not isinstance(facts, Unreadable)
            for fact in facts
            if PERSONAL[type(fact)]
        }
        if not owners:
            return streams
        found = await self._ask_reading([Call(READ_KEYS, (uuids(owners),))])
        keys = self._keep_keys(owners, found[READ_KEYS])
        return {stream: in_the_clear(facts, keys) for stream, facts in streams.items()}

    async def _open(self, statements: Sequence[Statement]) -> Wire:
        return await Wire.open(
            self._conninfo,
            statements,
            lock_timeout_s=self._config.lock_timeout_s,
            timeout_s=self._config.timeout_s,
        )


def uuids(values: Collection[UUID]) -> bytes:
    """An array of uuids."""
    return array_of_16(UUID_OID, [value.bytes for value in values])


def streams_in(result: PGresult | None) -> dict[UUID, Facts]:
    """Facts by stream, in order, as stored."""
    states: dict[bytes, list[bytes]] = {}
    for stream, _version, state in rows(result):
        states.setdefault(stream, []).append(state)
    return {UUID(bytes=stream): decoded(each) for stream, each in states.items()}


def decoded(states: list[bytes]) -> Facts:
    """The facts of one stream."""
    try:
        return [decode(state) for state in states]
    except msgspec.MsgspecError as error:
        return Unreadable(str(error))


def in_the_clear(facts: Facts, keys: Mapping[UUID, bytes | None]) -> Facts:
    """The facts of one stream as they were said."""
    if isinstance(facts, Unreadable):
        return facts
    try:
        return [opened(fact, keys.get) for fact in facts]
    except InvalidTag:
        return Unreadable("a personal field was changed, or sealed under another key")


def first_position(result: PGresult, count: int) -> int:
    """The position of the first of ``count`` events that were inserted."""
    first = int.from_bytes(result.get_value(0, 0) or b"", "big")
    last = int.from_bytes(result.get_value(count - 1, 0) or b"", "big")
    assert last - first == count - 1, "positions of one commit are contiguous"
    return first
