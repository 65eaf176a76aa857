"""Ships this process's log lines into the table that ``GET /logs/system`` reads.

A handler beside the one for the terminal puts lines into a bounded queue; a thread of its own
writes them in batches. Law: a line never waits for the database and never fails the program:
when the queue is full, lines are dropped, counted, and the count is logged.
"""

from __future__ import annotations

import logging
import queue
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self

import psycopg
import structlog
from msgspec import Struct
from structlog.typing import EventDict

from api.access_log import ACCESS
from api.logging_setup import formatter
from api.system_log_lines import Line, line_of
from projections.statements import as_parameter

LOG = structlog.stdlib.get_logger(__name__)

NOT_SHIPPED: Final = frozenset({ACCESS})
"""A line a request is for a collector of the process's own output, unless it warns."""
_DROPS_NAME: Final = f"{__name__}.drops"
_DROPS: Final = structlog.stdlib.get_logger(_DROPS_NAME)
"""Speaks to the terminal only: the table gets its line past the queue, which may be full."""

INSERT: Final = """
    WITH line AS (
        SELECT * FROM json_to_recordset(%(lines)s) AS line (
            logged_at timestamptz, level text, program text, logger text, event text,
            request_id text, message text, fields jsonb
        )
    ), counted AS (
        INSERT INTO owl_log.system_log_counts AS counted (day, level, n)
        SELECT (logged_at AT TIME ZONE 'UTC')::date AS day, level, count(*) FROM line
        GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (day, level) DO UPDATE SET n = counted.n + EXCLUDED.n
    )
    INSERT INTO owl_log.system_log
        (logged_at, level, program, logger, event, request_id, message, fields)
    SELECT logged_at, level, program, logger, event, request_id, message, fields FROM line
"""


class Config(Struct, frozen=True, kw_only=True):
    """The bounds of what waits, is gathered and is tried again."""

    lines_waiting_max: int = 10_000
    batch_max: int = 500
    gather_s: float = 0.25
    retry_first_s: float = 0.5
    retry_most_s: float = 10.0
    close_s: float = 2.0
    """How long the end of the process waits for what is still in the queue."""


class SystemLog(logging.Handler):
    """Use it as a context manager, in a process whose logging is set up."""

    def __init__(
        self, conninfo: str, *, program: str, level: str = "INFO", config: Config | None = None
    ) -> None:
        super().__init__(min(logging.getLevelName(level), logging.WARNING))
        self._conninfo = conninfo
        self._program = program
        self._config = config or Config()
        self._queue: queue.Queue[Line] = queue.Queue(self._config.lines_waiting_max)
        self._caught: EventDict = {}
        self.setFormatter(formatter(self._catch))
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._ship, name="system-log", daemon=True)
        self._connection: psycopg.Connection[Any] | None = None
        self.dropped = 0
        """Lines lost in all."""
        self._told = 0
        self.shipped = 0
        """Lines written in all."""

    def __enter__(self) -> Self:
        root = logging.getLogger()
        root.addHandler(self)
        root.setLevel(min(root.level, self.level))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        logging.getLogger().removeHandler(self)
        self._closing.set()
        self._thread.join(self._config.close_s)

    # ── in the thread that logs ────────────────────────────────────────────────────────────

    def emit(self, record: logging.LogRecord) -> None:
        """Put the line into the queue, or count it as lost."""
        if record.name == _DROPS_NAME or (
            record.name in NOT_SHIPPED and record.levelno < logging.WARNING
        ):
            return
        try:
            self.format(record)
            self._queue.put_nowait(line_of(record, self._caught, self._program))
        except Exception:  # noqa: BLE001 - whatever is wrong with a line, its program goes on
            self.dropped += 1
        finally:
            self._caught = {}

    def _catch(self, _logger: Any, _method: str, event: EventDict) -> str:
        self._caught = event
        return ""

    # ── in the thread that ships ───────────────────────────────────────────────────────────

    def _ship(self) -> None:
        pause_s = 0.0
        batch: list[Line] = []
        while True:
            batch = batch or self._gather()
            if not batch and self._closing.is_set():
                break
            try:
                if batch:
                    self._write(batch)
            except psycopg.Error as error:
                if self._closing.is_set():
                    self.dropped += len(batch)
                    break
                pause_s = self._failed(error, pause_s)
                self._closing.wait(pause_s)
                continue
            pause_s = 0.0
            batch = self._drops()
        self._disconnect()

    def _gather(self) -> list[Line]:
        """The lines of the next moments; the first one waits for company, not for a disk."""
        config = self._config
        try:
            batch = [self._queue.get(timeout=config.gather_s)]
        except queue.Empty:
            return []
        if not self._closing.is_set():
            self._closing.wait(config.gather_s)
        while len(batch) < config.batch_max:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return batch

    def _write(self, batch: list[Line]) -> None:
        try:
            self._connected().execute(INSERT, {"lines": as_parameter(batch)})
        except psycopg.DataError as error:  # a line that no retry will make better
            if len(batch) > 1:
                for line in batch:
                    self._write([line])
                return
            self.dropped += 1
            LOG.warning("system_log.line_refused", why=str(error))
            return
        self.shipped += len(batch)

    def _failed(self, error: psycopg.Error, pause_s: float) -> float:
        self._disconnect()
        if not pause_s:
            LOG.warning("system_log.out_of_reach", why=str(error).strip())
        return min(self._config.retry_most_s, pause_s * 2 or self._config.retry_first_s)

    def _drops(self) -> list[Line]:
        """What there is to say about lost lines: the beginning of the next batch."""
        lost = self.dropped - self._told
        if not lost:
            return []
        self._told += lost
        _DROPS.warning("system_log.lines_dropped", count=lost)
        line = Line(
            logged_at=datetime.now(UTC),
            level="WARNING",
            program=self._program,
            logger=_DROPS_NAME,
            event="system_log.lines_dropped",
            request_id=None,
            message=f"system_log.lines_dropped count={lost}",
            fields={"count": lost},
        )
        return [line]

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._conninfo,
                autocommit=True,
                connect_timeout=2,
                options="-c synchronous_commit=off -c statement_timeout=10000",
            )
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
