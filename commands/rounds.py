"""Rounds on their way into the log: one is open, one is flying, and what happens when it lands.

The open round is decided on top of the flying one, so the server never waits for the handlers.
If the flying one fails, both are decided again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from commands.counts import WriterCounts
from commands.deciding import Round, States
from commands.event_log.failures import (
    Busy,
    Conflict,
    ConnectionLost,
    LeaseLost,
    LogFailure,
)
from commands.event_log.feed import Ring
from commands.event_log.session import LogSession
from commands.unit_of_work import State, as_kind
from commands.waiting import Pending
from domain.decider import Decider
from domain.envelope import Recorded
from domain.ports import Clock, Committed, FencedOff, OutOfReach, Signal

CONFLICTS_TOGETHER = 3
"""After so many conflicts a command is decided in a round of its own …"""
CONFLICTS_MAX = 20
"""… and after so many given up."""


class Rounds:
    """The overlay of states that are not committed yet, and the states below it.

    ``landed`` is called after each landing, well or badly; ``recover`` is due when ``failed``.
    """

    def __init__(
        self,
        session: LogSession,
        states: States,
        clock: Clock,
        ring: Ring,
        committed: Signal | None,
        landed: Callable[[], None],
    ) -> None:
        self.open = Round()
        self.counts = WriterCounts()
        self._flying: Round | None = None
        self._recorded_at: datetime | None = None
        self._failure: LogFailure | None = None
        self._session = session
        self._states = states
        self._clock = clock
        self._ring = ring
        self._committed = committed
        self._landed_badly_or_well = landed

    @property
    def idle(self) -> bool:
        """Nothing is decided that has not landed."""
        return self._flying is None and not self.open.decided

    @property
    def failed(self) -> bool:
        """The flying round did not land well: ``recover``."""
        return self._failure is not None

    def find(self, decider: Decider[Any], stream: UUID) -> State:
        """The stream with all that is decided; may raise ``StreamMissing`` or ``NotFound``."""
        ahead = self._ahead(stream)
        return as_kind(decider, ahead) if ahead else self._states.find(decider, stream)

    def find_new(self, decider: Decider[Any], stream: UUID) -> State:
        """The same for a stream that is said to be new."""
        return self._ahead(stream) or self._states.find_new(decider, stream)

    def key_of(self, user_id: UUID) -> bytes | None:
        """A user's key, also one that is not committed yet; may raise ``KeyMissing``."""
        key = self.open.new_keys.get(user_id)
        if key is None and self._flying is not None:
            key = self._flying.new_keys.get(user_id)
        return key or self._session.keys.get(user_id)

    def launch(self) -> None:
        """Send the open round, unless one is flying: that one's landing will."""
        if self._flying is not None or not self.open.decided:
            return
        flying, self.open = self.open, Round()
        self._flying = flying
        guards = flying.guards
        if guards or flying.batch.writes:
            self._recorded_at = self._clock()
            self._session.append(flying.batch, guards, self._recorded_at, self._on_landed)
        else:
            self._on_landed(0)

    async def recover(self, pause_s: float) -> list[Pending]:
        """What is to be decided again after a bad landing, in its order."""
        flying, failure = self._flying, self._failure
        assert flying is not None
        assert failure is not None
        self.counts.failed_rounds += 1
        above, self.open = self.open, Round()
        self._states.doubt(flying.bases)
        self._states.doubt(above.bases)
        if isinstance(failure, ConnectionLost):
            await self._ask_outcome(flying, pause_s)
        self._flying = self._failure = None
        waiting = [decided.command for decided in flying.decided]
        for command in waiting:
            judge(command, failure, in_company=len(waiting) > 1)
        waiting += [decided.command for decided in above.decided]
        for command in waiting:
            command.begin_again()
        return [command for command in waiting if not command.future.done()]

    def _ahead(self, stream: UUID) -> State | None:
        state = self.open.overlay.get(stream)
        if state is None and self._flying is not None:
            state = self._flying.overlay.get(stream)
        return state

    def _on_landed(self, answer: int | LogFailure) -> None:
        if isinstance(answer, LogFailure):
            self._failure = answer
        else:
            self._settle(answer)
        self._landed_badly_or_well()

    def _settle(self, first: int) -> None:
        flying = self._flying
        assert flying is not None
        self._flying = None
        self.counts.rounds += 1
        self.counts.commands += len(flying.decided)
        self.counts.facts += len(flying.facts)
        self._states.landed(flying.overlay)
        for user_id, key in flying.new_keys.items():
            self._session.keys.put(user_id, key)
        for user_id in flying.erased:
            self._session.keys.forget(user_id)
        recorded_at = self._recorded_at if flying.facts else None
        if recorded_at is not None:
            self._ring.committed(recorded(first, flying, recorded_at))
        self.launch()  # first the server gets its next work, then the callers their answers
        for command, result, refusal, last in flying.decided:
            if refusal is None:
                position = first + last - 1 if last else 0
                command.succeed(Committed(result, position, recorded_at=recorded_at))
            else:
                command.fail(refusal)
        if flying.facts and self._committed is not None:
            self._committed.notify(first + len(flying.facts) - 1)

    async def _ask_outcome(self, flying: Round, pause_s: float) -> None:
        """Whether a round that was under way when the connection was lost has happened.

        All of it has, or nothing. Asked until the log answers or nobody waits for it any more.
        """
        asked = {
            decided.command.context.command_id: decided
            for decided in flying.decided
            if decided.refusal is None
        }
        while not all(decided.command.future.done() for decided in flying.decided):
            try:
                outcomes = await self._session.outcomes(list(asked))
            except LogFailure:
                await asyncio.sleep(pause_s)
                continue
            for command_id, position in outcomes.items():
                decided = asked[command_id]
                decided.command.succeed(
                    Committed(decided.result, position, recorded_at=self._recorded_at)
                )
            return


def recorded(first: int, landed: Round, recorded_at: datetime) -> Iterator[Recorded[Any]]:
    """A landed round's events as readers see them."""
    told = zip(landed.batch.events, landed.facts, strict=True)
    return (
        Recorded(
            position=position,
            stream=event.stream,
            version=event.version,
            recorded_at=recorded_at,
            actor=str(context.actor),
            command_id=context.command_id,
            correlation_id=context.correlation_id,
            causation_id=context.causation_id,
            fact=fact,
        )
        for position, (event, (fact, context)) in enumerate(told, first)
    )


def judge(command: Pending, failure: LogFailure, *, in_company: bool) -> None:
    """What a failed commit means for one of its commands: its end, or another try."""
    match failure:
        case ConnectionLost():
            pass
        case Conflict():
            command.conflicts += 1
            command.alone = command.conflicts >= CONFLICTS_TOGETHER
            if command.conflicts >= CONFLICTS_MAX:
                command.fail(OutOfReach("others were faster too many times"))
        case LeaseLost(fence=fence):
            if command.context.fence == fence:
                command.fail(FencedOff(fence.name))
        case Busy():
            command.fail(OutOfReach(str(failure)))
        case _ if in_company:
            command.alone = True  # one of them is at fault: find out which
        case _:
            command.fail(failure)
