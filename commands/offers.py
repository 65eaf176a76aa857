"""Offers: tell each server what it was given and what it must stop, until it has answered.

The board is the truth and a message only its echo: what was assigned is offered at once, and
again every few seconds until its beginning is in the log. So no message need be acknowledged
here, and a broker that forgets everything only costs the time of one repetition.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import suppress
from uuid import UUID

from msgspec import Struct
from nats.aio.client import Client
from nats.errors import Error as NatsError

from commands.board import Attempt
from commands.board_reader import BoardReader
from domain.envelope import Fence
from domain.fleet.messages import (
    ENCODER,
    Assigned,
    CancelRequested,
    Drained,
    WorkMessage,
    work_subject,
)


class Config(Struct, frozen=True, kw_only=True):
    """How often what was not answered is said again."""

    repeat_after_s: float = 3.0
    look_every_s: float = 0.5


class Offers:
    """The one voice that agents hear about work."""

    name = "offers"

    def __init__(
        self, reader: BoardReader, client: Client, *, config: Config | None = None
    ) -> None:
        self._reader = reader
        self._board = reader.board
        self._client = client
        self._config = Config() if config is None else config
        self._new: deque[Attempt] = deque()
        self._wake = asyncio.Event()
        self._said_at: dict[tuple[UUID, int, bool], float] = {}
        self._repeated_at = -math.inf
        self._drained: dict[UUID, bool] = {}

    async def run(self, fence: Fence) -> None:
        """Offer until cancelled; first everything that is still unanswered."""
        self._said_at.clear()
        self._repeated_at = -math.inf
        self._board.on_offer = self._note
        try:
            while True:
                await self.step()
                await self._sleep()
        finally:
            self._board.on_offer = None
            self._new.clear()

    async def step(self) -> None:
        """Say what is new, and again what has waited for long."""
        self._wake.clear()
        now = asyncio.get_running_loop().time()
        while self._new and self._client.is_connected:
            await self._offer(self._new.popleft(), now)
        if self._client.is_connected and now - self._repeated_at >= self._config.look_every_s:
            self._repeated_at = now
            await self._repeat(now)

    async def stop_stray(self, server_id: UUID, task_id: UUID, attempt: int) -> None:
        """Tell a server to stop what it still runs and should not; its heartbeats ask again."""
        with suppress(NatsError):
            await self._say(server_id, CancelRequested(task_id=task_id, attempt=attempt))

    def _note(self, attempt: Attempt) -> None:
        self._new.append(attempt)
        self._wake.set()

    async def _sleep(self) -> None:
        # not wait_for: on Python 3.11 it may swallow a cancellation
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.look_every_s):
                await self._wake.wait()

    async def _offer(self, attempt: Attempt, now: float) -> None:
        stopping = attempt.cancel_requested_at is not None
        self._said_at[attempt.task_id, attempt.attempt, stopping] = now
        message: WorkMessage
        if stopping:
            message = CancelRequested(task_id=attempt.task_id, attempt=attempt.attempt)
        else:
            message = Assigned(
                task_id=attempt.task_id,
                attempt=attempt.attempt,
                task_type=attempt.task_type,
                config=attempt.config,
                timeout_s=attempt.timeout_s,
                gpu_uuids=attempt.gpu_uuids,
                position=attempt.position,
            )
        await self._say(attempt.server_id, message)

    async def _repeat(self, now: float) -> None:
        unanswered = [mine for mine in self._board.attempts.values() if is_unanswered(mine)]
        keys = {_key(mine) for mine in unanswered}
        for key in [key for key in self._said_at if key not in keys]:
            del self._said_at[key]
        due = now - self._config.repeat_after_s
        for attempt in unanswered:
            if self._said_at.get(_key(attempt), -math.inf) <= due:
                await self._offer(attempt, now)
        for server_id, server in self._board.servers.items():
            if server.online and self._drained.get(server_id, False) != server.drained:
                self._drained[server_id] = server.drained
                await self._say(server_id, Drained(drained=server.drained))

    async def _say(self, server_id: UUID, message: WorkMessage) -> None:
        await self._client.publish(work_subject(server_id), ENCODER.encode(message))


def is_unanswered(attempt: Attempt) -> bool:
    """Whether the server has yet to begin this attempt, or to stop it."""
    return attempt.began_at is None or attempt.cancel_requested_at is not None


def _key(attempt: Attempt) -> tuple[UUID, int, bool]:
    return (attempt.task_id, attempt.attempt, attempt.cancel_requested_at is not None)
