"""Metering: keeps the money held for a running task ahead of the seconds it has run.

Looks once a second which holds run out within seconds, and has each reviewed against its
user's balance: more is set aside, or the task is asked to stop.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

import structlog
from msgspec import Struct

from commands.board import Attempt
from commands.board_reader import BoardReader
from commands.contexts import of_policy
from commands.dispatching import ExtendHold, extend_hold
from domain.envelope import Fence
from domain.errors import Refused
from domain.ports import Clock, CommandWriter, Ids
from domain.tasks.metering import lasts_ms, runs_out
from domain.tasks.task import elapsed_ms

LOG = structlog.get_logger(__name__)


class Config(Struct, frozen=True, kw_only=True):
    """Its pace, and how many holds it reviews together."""

    look_every_s: float = 1.0
    together_max: int = 256


class Metering:
    """Look, review, wait."""

    name = "metering"

    def __init__(
        self,
        reader: BoardReader,
        writer: CommandWriter,
        *,
        clock: Clock,
        ids: Ids,
        config: Config | None = None,
    ) -> None:
        self._reader = reader
        self._board = reader.board
        self._writer = writer
        self._clock = clock
        self._ids = ids
        self._config = Config() if config is None else config

    async def run(self, fence: Fence) -> None:
        """Look until cancelled."""
        await self._reader.catch_up()
        while True:
            await self.step(fence)
            await asyncio.sleep(self._config.look_every_s)

    async def step(self, fence: Fence) -> int:
        """Have every hold that runs out soon reviewed, the first to do so first; how many.

        One that nobody can pay for is due until its task is stopped: a step that took only
        some of them would take the same ones again and again, and leave the others out.
        """
        now = self._clock()
        due = [mine for mine in self._board.attempts.values() if self._is_due(mine, now)]
        due.sort(key=lambda mine: self._left_ms(mine, now))
        most = self._config.together_max
        for first in range(0, len(due), most):
            together = due[first : first + most]
            await asyncio.gather(*(self._review(mine, now, fence) for mine in together))
        return len(due)

    def _is_due(self, mine: Attempt, now: datetime) -> bool:
        if mine.began_at is None or mine.cancel_requested_at is not None:
            return False
        task = self._board.tasks.get(mine.task_id)
        if task is None:
            return False
        return runs_out(
            run_ms=elapsed_ms(mine.began_at, now),
            held_fen=task.held_fen,
            price_fen_per_minute=task.price_fen_per_minute,
            timeout_s=mine.timeout_s,
        )

    def _left_ms(self, mine: Attempt, now: datetime) -> int:
        """How long what is held lasts yet; less than nothing when more has been used."""
        task = self._board.tasks[mine.task_id]
        return lasts_ms(task.held_fen, task.price_fen_per_minute) - elapsed_ms(
            mine.began_at, now
        )

    async def _review(self, mine: Attempt, now: datetime, fence: Fence) -> None:
        context = of_policy(
            self.name,
            f"extend/{mine.task_id}/{mine.attempt}/{self._ids()}",
            correlation_id=mine.correlation_id,
            causation_id=mine.position,
            fence=fence,
        )
        command = ExtendHold(task_id=mine.task_id, attempt=mine.attempt, at=now)
        try:
            await self._writer.run(extend_hold, command, context)
        except Refused as refusal:
            LOG.warning("hold.not_extended", task_id=str(mine.task_id), why=repr(refusal))
