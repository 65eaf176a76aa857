"""Presence: what a committed heartbeat sets off; for most, nothing.

One that changes what the log says of its server becomes a command. One that lists an attempt
which is not that server's any more makes the platform ask for its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

import structlog

from commands.board import Board
from commands.contexts import of_report
from commands.fleet import NoteServerSeen, note_server_seen
from domain.errors import Refused
from domain.fleet.liveness import seen
from domain.fleet.messages import Heartbeat
from domain.ports import CommandWriter, OutOfReach

LOG = structlog.get_logger(__name__)


class Presence:
    """Compares heartbeats with the board."""

    def __init__(
        self,
        board: Board,
        writer: CommandWriter,
        stop_stray: Callable[[UUID, UUID, int], Awaitable[None]],
    ) -> None:
        """``stop_stray`` tells a server to stop a task's attempt."""
        self._board = board
        self._writer = writer
        self._stop_stray = stop_stray
        self._noting: dict[UUID, asyncio.Task[None]] = {}

    async def note(self, heartbeat: Heartbeat, at: datetime) -> None:
        """Act on a heartbeat that was committed ``at``."""
        server_id = heartbeat.server_id
        server = self._board.servers[server_id]
        if server_id not in self._noting and seen(server, heartbeat, now=at):
            noting = asyncio.create_task(self._record(heartbeat, at))
            self._noting[server_id] = noting
            noting.add_done_callback(lambda _: self._noting.pop(server_id, None))
        for running in heartbeat.running:
            if not self._board.has(server_id, running.task_id, running.attempt):
                await self._stop_stray(server_id, running.task_id, running.attempt)

    async def _record(self, heartbeat: Heartbeat, at: datetime) -> None:
        context = of_report(heartbeat.server_id, heartbeat.report_id, correlation_id="")
        try:
            await self._writer.run(
                note_server_seen, NoteServerSeen(heartbeat=heartbeat, at=at), context
            )
        except (Refused, OutOfReach) as failure:  # the next heartbeat says it again
            LOG.warning("presence.not_noted", why=repr(failure))
