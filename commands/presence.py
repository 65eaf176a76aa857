"""Presence: what a committed heartbeat sets off; for most, nothing.

One that changes what the log says of its server becomes a command. One that lists an attempt
which is not that server's any more makes the platform ask for its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import structlog

from commands.board import Board
from commands.contexts import of_report
from commands.fleet import NoteServerSeen, note_server_seen
from domain.errors import Refused
from domain.fleet.liveness import seen
from domain.fleet.messages import Heartbeat
from domain.fleet.server import Server
from domain.ports import CommandWriter, OutOfReach

_Health: TypeAlias = tuple[UUID, bool, list[tuple[str, bool]]]

LOG = structlog.get_logger(__name__)


class Presence:
    """Compares heartbeats with the board."""

    def __init__(
        self,
        board: Board,
        writer: CommandWriter,
        stop_stray: Callable[[UUID, UUID, int], Coroutine[Any, Any, None]],
    ) -> None:
        """``stop_stray`` tells a server to stop a task's attempt."""
        self._board = board
        self._writer = writer
        self._stop_stray = stop_stray
        self._noting: dict[UUID, asyncio.Task[None]] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._unchanged: dict[UUID, tuple[Server, _Health]] = {}

    def note(self, heartbeat: Heartbeat, at: datetime) -> None:
        """Act on a heartbeat that was committed ``at``."""
        if self._changes(heartbeat, at):
            self._record_soon(heartbeat, at)
        strays = self._board.note_listed(heartbeat.server_id, heartbeat.running)
        if strays:
            LOG.warning(
                "server.strays",
                server_id=str(heartbeat.server_id),
                count=strays,
                hint="they are told to stop; no other task is placed there until they have",
            )
        for running in heartbeat.running:
            if not self._board.has(heartbeat.server_id, running.task_id, running.attempt):
                self._stop_soon(heartbeat.server_id, running.task_id, running.attempt)

    def _record_soon(self, heartbeat: Heartbeat, at: datetime) -> None:
        """One at a time for each server: the next heartbeat says it again, if there is one."""
        server_id = heartbeat.server_id
        if server_id not in self._noting or heartbeat.leaving:
            noting = asyncio.create_task(self._record(heartbeat, at))
            self._noting[server_id] = noting
            noting.add_done_callback(lambda done: self._noted(server_id, done))

    def _noted(self, server_id: UUID, done: asyncio.Task[None]) -> None:
        if self._noting.get(server_id) is done:
            del self._noting[server_id]

    def _stop_soon(self, server_id: UUID, task_id: UUID, attempt: int) -> None:
        stopping = asyncio.create_task(self._stop_stray(server_id, task_id, attempt))
        self._stopping.add(stopping)
        stopping.add_done_callback(self._stopping.discard)

    def _changes(self, heartbeat: Heartbeat, at: datetime) -> bool:
        """Whether the log must learn something; mostly a heartbeat is as the one before it."""
        server = self._board.servers[heartbeat.server_id]
        state = (
            heartbeat.boot_id,
            heartbeat.leaving,
            [(gpu.uuid, gpu.healthy) for gpu in heartbeat.gpus],
        )
        last = self._unchanged.get(heartbeat.server_id)
        if last is not None and last[0] is server and last[1] == state:
            return False
        if seen(server, heartbeat, now=at):
            return True
        self._unchanged[heartbeat.server_id] = (server, state)
        return False

    async def _record(self, heartbeat: Heartbeat, at: datetime) -> None:
        context = of_report(heartbeat.server_id, heartbeat.report_id, correlation_id="")
        try:
            await self._writer.run(
                note_server_seen, NoteServerSeen(heartbeat=heartbeat, at=at), context
            )
        except (Refused, OutOfReach) as failure:  # the next heartbeat says it again
            LOG.warning("presence.not_noted", why=repr(failure))
