"""The leases of servers and attempts: whoever is silent for too long is gone, and says so.

Judges once a second what the board says against what was heard (``domain.scheduling.leases``);
each verdict becomes one command, fenced by this loop's own lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, assert_never

import structlog
from msgspec import Struct

from commands.board import Attempt
from commands.board_reader import BoardReader
from commands.contexts import of_policy
from commands.dispatching import (
    EndOverdueCancel,
    EndOverrun,
    LoseAttempt,
    end_overdue_cancel,
    end_overrun,
    lose_attempt,
)
from commands.fleet import NoteServerSilent, note_server_silent
from commands.hearing import Hearing
from domain.envelope import Context, Fence
from domain.errors import Refused
from domain.ports import Clock, CommandWriter, UnitOfWork
from domain.scheduling.leases import (
    AttemptLost,
    CancelOverdue,
    Held,
    Overran,
    Verdict,
    WentSilent,
    is_deaf,
    judge,
)

LOG = structlog.get_logger(__name__)

NAME = "leases"


class Config(Struct, frozen=True, kw_only=True):
    """Its pace, and how many verdicts it carries out together."""

    judge_every_s: float = 1.0
    together_max: int = 256


class Leases:
    """Judge, carry out, wait."""

    name = NAME

    def __init__(
        self,
        reader: BoardReader,
        hearing: Hearing,
        writer: CommandWriter,
        *,
        clock: Clock,
        reaches_agents: Callable[[], bool],
        config: Config | None = None,
    ) -> None:
        self._reader = reader
        self._board = reader.board
        self._hearing = hearing
        self._writer = writer
        self._clock = clock
        self._reaches_agents = reaches_agents
        self._config = Config() if config is None else config
        self._was_deaf = False

    async def run(self, fence: Fence) -> None:
        """Judge until cancelled."""
        await self._reader.catch_up()
        while True:
            await self.step(fence)
            await asyncio.sleep(self._config.judge_every_s)

    async def step(self, fence: Fence) -> list[Verdict]:
        """Judge once and carry it out; nothing is judged while nothing could be heard."""
        now = self._clock()
        if not self._reaches_agents() or not self._hearing.is_listening(now):
            return []
        assert self._hearing.since is not None, "whoever listens has begun to"
        self._warn_when_deaf(now)
        attempts = list(self._board.attempts.values())
        self._hearing.forget_ended({(mine.task_id, mine.attempt) for mine in attempts})
        verdicts = judge(
            self._board.online(),
            [self._held(mine) for mine in attempts],
            self._hearing.heard,
            configuration=self._board.configuration,
            listening_since=self._hearing.since,
            now=now,
        )[: self._config.together_max]
        await asyncio.gather(*(self._carry_out(verdict, now, fence) for verdict in verdicts))
        return verdicts

    def _held(self, mine: Attempt) -> Held:
        failures = [
            at
            for uuid in mine.gpu_uuids
            if (at := self._board.gpu_failed_at.get((mine.server_id, uuid))) is not None
        ]
        return Held(
            task_id=mine.task_id,
            attempt=mine.attempt,
            server_id=mine.server_id,
            boot_id=mine.boot_id,
            assigned_at=mine.assigned_at,
            timeout_s=mine.timeout_s,
            began_at=mine.began_at,
            cancel_requested_at=mine.cancel_requested_at,
            listed_at=self._hearing.listed.get((mine.task_id, mine.attempt)),
            gpu_failed_at=min(failures, default=None),
        )

    async def _carry_out(self, verdict: Verdict, now: datetime, fence: Fence) -> None:
        LOG.warning("lease.verdict", verdict=repr(verdict))
        match verdict:
            case WentSilent(server_id=server_id, last_seen_at=seen_at, stopped=stopped):
                command = NoteServerSilent(
                    server_id=server_id,
                    last_seen_at=seen_at,
                    reason="stopped" if stopped else "silent",
                )
                name = f"silent/{server_id}/{seen_at.isoformat()}"
                await self._run(
                    note_server_silent,
                    command,
                    of_policy(NAME, name, correlation_id="", fence=fence),
                )
            case AttemptLost(held=held, reason=reason, counted=counted):
                lose = LoseAttempt(
                    task_id=held.task_id,
                    attempt=held.attempt,
                    server_id=held.server_id,
                    reason=reason,
                    counted=counted,
                    at=now,
                )
                await self._run(lose_attempt, lose, self._context(held, "lose", fence))
            case CancelOverdue(held=held):
                end = EndOverdueCancel(task_id=held.task_id, attempt=held.attempt, at=now)
                await self._run(end_overdue_cancel, end, self._context(held, "end", fence))
            case Overran(held=held):
                stop = EndOverrun(
                    task_id=held.task_id,
                    attempt=held.attempt,
                    server_id=held.server_id,
                    at=now,
                )
                await self._run(end_overrun, stop, self._context(held, "overran", fence))
            case _:
                assert_never(verdict)

    def _context(self, held: Held, what: str, fence: Fence) -> Context:
        mine = self._board.attempts.get(held.task_id)
        return of_policy(
            NAME,
            f"{what}/{held.task_id}/{held.attempt}",
            correlation_id="" if mine is None else mine.correlation_id,
            causation_id=None if mine is None else mine.position,
            fence=fence,
        )

    async def _run(
        self, handler: Callable[[Any, UnitOfWork], Any], command: Struct, context: Context
    ) -> None:
        try:
            await self._writer.run(handler, command, context)
        except Refused as refusal:
            LOG.warning("lease.refused", command=repr(command), why=repr(refusal))

    def _warn_when_deaf(self, now: datetime) -> None:
        assert self._hearing.since is not None
        deaf = is_deaf(
            self._board.online(),
            self._hearing.heard,
            configuration=self._board.configuration,
            listening_since=self._hearing.since,
            now=now,
        )
        if deaf and not self._was_deaf:
            LOG.error(
                "farm.vanished", hint="most agents fell silent at once: is it the network?"
            )
        self._was_deaf = deaf
