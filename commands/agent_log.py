"""What agents say about themselves, said again here: so it reaches the system log.

Agents know no database, so their warnings come over plain NATS and are logged by the worker
that leads; whatever keeps this process's log (``GET /logs/system``) then keeps theirs, with the
same redaction. Law: best effort. Nothing is stored or repeated for it, and one agent that
floods is cut off for the rest of the minute; how much was lost is said once, when it is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import UUID

import structlog
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg

from commands.board import Board
from commands.reports import Dropped, Senders, read_report
from domain.envelope import Fence
from domain.fleet.messages import Logged, LogLine

LOG = structlog.get_logger(__name__)

PROGRAM: Final = "owl-agent"
LOGGER: Final = "gpu_agent"
"""The logger of these lines: whoever keeps them knows by it whose they are."""
SUBJECT: Final = "owl.reports.*.log"
CONNECT_POLL_S: Final = 0.1


class Config(Struct, frozen=True, kw_only=True):
    """Bounds: messages that wait here, lines of one message, lines of one agent a minute.

    ``look_every_s``: between looks whether the minute is over.
    """

    pending_max: int = 1_000
    lines_of_message_max: int = 50
    lines_a_minute_max: int = 120
    look_every_s: float = 1.0


class AgentLog:
    """Hear, and log."""

    name = "agent.log"

    def __init__(
        self,
        client: Client,
        board: Board,
        *,
        monotonic: Callable[[], float] | None = None,
        config: Config | None = None,
    ) -> None:
        self._client = client
        self._board = board
        self._monotonic = monotonic
        self._config = Config() if config is None else config
        self._said = structlog.get_logger(LOGGER)
        self._senders = Senders()
        self._minute = 0
        self._lines: dict[UUID, int] = {}
        self._lost: dict[UUID, int] = {}
        self.dropped = Dropped()

    async def run(self, fence: Fence) -> None:
        """Hear until cancelled."""
        while not self._client.is_connected:  # noqa: ASYNC110 - the client tells it so
            await asyncio.sleep(CONNECT_POLL_S)
        heard = await self._client.subscribe(
            SUBJECT, cb=self._hear, pending_msgs_limit=self._config.pending_max
        )
        try:
            while True:
                await asyncio.sleep(self._config.look_every_s)
                self.step()
        finally:
            self._say_lost()  # nobody else knows of it
            if self._client.is_connected:
                await heard.unsubscribe()

    def step(self) -> None:
        """Begin another minute once this one is over."""
        now_s = (self._monotonic or asyncio.get_running_loop().time)()
        if int(now_s // 60) != self._minute:
            self._minute = int(now_s // 60)
            self._lines.clear()
            self._say_lost()

    async def _hear(self, message: Msg) -> None:
        report = read_report(message, self._senders, self.dropped)
        if not isinstance(report, Logged):
            return
        server = self._board.servers.get(report.server_id)
        if server is None or server.removed:
            self.dropped.unknown_server += 1
            return
        self.step()
        lines = self._within_bounds(report)
        for line in lines:
            self._say(line, report.server_id, server.name)
        lost = report.dropped + len(report.lines) - len(lines)
        if lost:
            self._lost[report.server_id] = self._lost.get(report.server_id, 0) + lost

    def _within_bounds(self, report: Logged) -> tuple[LogLine, ...]:
        """The lines that are still taken from this agent in this minute; they are counted."""
        used = self._lines.get(report.server_id, 0)
        room = max(0, self._config.lines_a_minute_max - used)
        lines = report.lines[: min(room, self._config.lines_of_message_max)]
        self._lines[report.server_id] = used + len(lines)
        return lines

    def _say_lost(self) -> None:
        """One line for each agent: a flood must not become a flood of words about it."""
        for server_id, count in self._lost.items():
            LOG.warning("agent.log_dropped", server_id=str(server_id), count=count)
        self._lost.clear()

    def _say(self, line: LogLine, server_id: UUID, server: str) -> None:
        say = {
            "WARNING": self._said.warning,
            "ERROR": self._said.error,
            "CRITICAL": self._said.critical,
        }[line.level]
        say(
            line.event,
            program=PROGRAM,
            server_id=str(server_id),
            server=server,
            said_at=line.at.isoformat(),
            said=line.fields,
        )
