"""One PostgreSQL connection, driven by the event loop in libpq's pipeline mode.

A request is some prepared statements and a Sync: one round trip, one transaction, all or
nothing (PostgreSQL documentation, "Pipelining": statements up to a Sync are one implicit
transaction). It is answered after the commit is durable. psycopg's own coroutines cost some
0.1 ms a statement, which is as much as the server needs for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import psycopg
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from commands.event_log.failures import ConnectionLost, LogFailure, failure_of

BINARY = 1

SET_TIMEOUTS = """
    SELECT set_config('lock_timeout', %(lock_ms)s, false),
        set_config('statement_timeout', %(statement_ms)s, false),
        set_config('idle_in_transaction_session_timeout', %(statement_ms)s, false),
        (SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid())
"""


class Statement(NamedTuple):
    """A statement by the name it is prepared under."""

    name: bytes
    sql: str


class Call(NamedTuple):
    """A prepared statement and its parameters in binary format."""

    statement: Statement
    parameters: Sequence[bytes | None]


Answer = list[PGresult] | LogFailure
"""One result per call, or why there is none."""


class Unanswered:
    """A request that waits for its answer."""

    __slots__ = ("answered", "failure", "results", "timer")

    def __init__(self, answered: Callable[[Answer], None], timer: asyncio.TimerHandle) -> None:
        self.answered = answered
        self.timer = timer
        self.results: list[PGresult] = []
        self.failure: LogFailure | None = None


class Wire:
    """Requests out, answers in, in order. Once ``closed`` it stays so: open another."""

    def __init__(self, connection: psycopg.AsyncConnection, backend_start: str) -> None:
        self.backend_pid = connection.info.backend_pid
        self.backend_start = backend_start
        self._connection = connection  # owns the socket; kept so that it is not collected
        self._pgconn: PGconn = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._socket = self._pgconn.socket
        self._unanswered: deque[Unanswered] = deque()
        self._writing = False
        self.closed = False

    @classmethod
    async def open(
        cls,
        conninfo: str,
        statements: Sequence[Statement],
        *,
        lock_timeout_s: float,
        timeout_s: float,
    ) -> Self:
        """Connect and prepare.

        Raises:
            LogFailure: not within ``timeout_s``, or refused.
        """
        try:
            async with asyncio.timeout(timeout_s):
                connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
                try:
                    return await cls._prepared(
                        connection, statements, lock_timeout_s, timeout_s
                    )
                except BaseException:
                    connection.pgconn.finish()
                    raise
        except (psycopg.Error, TimeoutError) as error:
            raise ConnectionLost(str(error) or "no connection in time") from error

    @classmethod
    async def _prepared(
        cls,
        connection: psycopg.AsyncConnection,
        statements: Sequence[Statement],
        lock_timeout_s: float,
        timeout_s: float,
    ) -> Self:
        limits = {
            "lock_ms": str(round(lock_timeout_s * 1000)),
            "statement_ms": str(round(timeout_s * 1000)),
        }
        row = await (await connection.execute(SET_TIMEOUTS, limits)).fetchone()
        assert row is not None
        connection.pgconn.nonblocking = 1
        connection.pgconn.enter_pipeline_mode()
        wire = cls(connection, row[-1])
        wire._loop.add_reader(wire._socket, wire._on_readable)
        try:
            for name, sql in statements:
                connection.pgconn.send_prepare(name, sql.encode())
            await wire.ask((), timeout_s)
        except BaseException:
            wire.close()
            raise
        return wire

    def send(
        self, calls: Sequence[Call], answered: Callable[[Answer], None], timeout_s: float
    ) -> None:
        """Ask; ``answered`` is called once, from the event loop, never from in here."""
        if self.closed:
            self._loop.call_soon(answered, ConnectionLost("the connection is closed"))
            return
        timer = self._loop.call_later(timeout_s, self._lose, "no answer in time")
        self._unanswered.append(Unanswered(answered, timer))
        try:
            for statement, parameters in calls:
                self._pgconn.send_query_prepared(
                    statement.name, parameters, [BINARY] * len(parameters), BINARY
                )
            self._pgconn.pipeline_sync()
            self._flush()
        except psycopg.Error as error:
            self._loop.call_soon(self._lose, str(error))

    async def ask(self, calls: Sequence[Call], timeout_s: float) -> list[PGresult]:
        """Ask and wait.

        Raises:
            LogFailure: what the answer was instead.
        """
        future: asyncio.Future[list[PGresult]] = self._loop.create_future()

        def answered(answer: Answer) -> None:
            if future.done():
                return
            if isinstance(answer, LogFailure):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        self.send(calls, answered, timeout_s)
        return await future

    def close(self) -> None:
        """Close at once; whoever waits hears that the connection is lost."""
        self._lose("closed")

    def _flush(self) -> None:
        if self._pgconn.flush():
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._socket, self._on_writable)
        elif self._writing:
            self._writing = False
            self._loop.remove_writer(self._socket)

    def _on_writable(self) -> None:
        try:
            self._flush()
        except psycopg.Error as error:
            self._lose(str(error))

    def _on_readable(self) -> None:
        try:
            self._pgconn.consume_input()
            self._collect()
        except psycopg.Error as error:
            self._lose(str(error))

    def _collect(self) -> None:
        pgconn, unanswered = self._pgconn, self._unanswered
        at_end = False  # of one statement's results; twice in a row means of all
        while unanswered and not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:
                if at_end:
                    break
                at_end = True
                continue
            at_end = False
            request = unanswered[0]
            match result.status:
                case ExecStatus.TUPLES_OK | ExecStatus.COMMAND_OK:
                    request.results.append(result)
                case ExecStatus.PIPELINE_SYNC:
                    unanswered.popleft()
                    request.timer.cancel()
                    request.answered(request.failure or request.results)
                case ExecStatus.FATAL_ERROR if request.failure is None:
                    request.failure = failure_of(result)
        if pgconn.status != ConnStatus.OK:
            self._lose("the server closed the connection")

    def _lose(self, why: str) -> None:
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._socket)
        if self._writing:
            self._loop.remove_writer(self._socket)
        self._pgconn.finish()
        while self._unanswered:
            request = self._unanswered.popleft()
            request.timer.cancel()
            # an error that the server named before it went says more than its going
            request.answered(ConnectionLost(str(request.failure or why)))


def rows(result: PGresult | None) -> list[tuple[Any, ...]]:
    """The rows of a binary result, each column as bytes; no result has none."""
    if result is None:
        return []
    columns = range(result.nfields)
    return [
        tuple(result.get_value(row, column) for column in columns)
        for row in range(result.ntuples)
    ]
