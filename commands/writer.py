"""The writer: the one way to change anything. It gathers commands and commits them together.

While one round of commands commits, the next is decided on top of it, so the size of a round
adapts to the load without a timer, and processor and disk work at the same time. Everything
runs on the event loop: a commit is a message out and one in, with no thread to wake between.

What a caller may rely on:
- an answer means that the commit is durable, or that the refusal was true of the log;
- a refused or failed command leaves no trace, and a failed one fails alone;
- a conflict with another process decides the command again;
- no answer takes longer than the deadline: then ``OutOfReach``, and the outcome is unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Self, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from commands.counts import WriterCounts
from commands.deciding import States, decide, receipt_type
from commands.event_log.failures import Busy, ConnectionLost, LogFailure
from commands.event_log.log import EventLog
from commands.event_log.personal import KeyMissing
from commands.event_log.repeats import Receipt
from commands.event_log.session import LogSession, SessionConfig
from commands.rounds import Rounds
from commands.unit_of_work import StreamMissing, Work
from commands.waiting import Pending, Waiting
from domain.envelope import Context, Repeat
from domain.errors import IdempotencyMismatch
from domain.ports import Clock, Committed, OutOfReach, Signal, UnitOfWork

C = TypeVar("C", bound=Struct)
R = TypeVar("R")


class WriterConfig(Struct, frozen=True, kw_only=True):
    """The bounds of everything that waits, gathers or is tried again."""

    deadline_s: float = 3.0
    waiting_max: int = 10_000
    round_max: int = 256
    round_first: int = 64  # with more waiting, the disk gets the first half of them at once
    loads_max: int = 16  # how often one handler may ask for what it had not asked for before
    states_kept: int = 50_000
    pause_s: float = 0.05
    session: SessionConfig = SessionConfig()


class Writer:
    """``domain.ports.CommandWriter``. Open it on the event loop that uses it."""

    def __init__(
        self,
        log: EventLog,
        clock: Clock,
        *,
        committed: Signal | None = None,
        config: WriterConfig | None = None,
    ) -> None:
        self._log = log
        self._clock = clock
        self._committed = committed
        self._config = config or WriterConfig()
        self._states = States(self._config.states_kept)
        self._repeatable: dict[UUID, Pending] = {}

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            OutOfReach: the log is not there.
        """
        self._loop = asyncio.get_running_loop()
        self._session = LogSession(self._log.conninfo, self._log.secrets, self._config.session)
        try:
            await self._session.connect()
        except LogFailure as failure:
            raise OutOfReach(str(failure)) from failure
        self._waiting = Waiting(self._loop, self._config.deadline_s)
        self._rounds = Rounds(
            self._session,
            self._states,
            self._clock,
            self._log.ring,
            self._committed,
            self._on_landed,
        )
        self._wake = self._loop.create_future()
        self._serving = asyncio.create_task(self._serve(), name="writer")
        self._serving.add_done_callback(self._on_ended)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let what was begun end, then close."""
        begun = [pending.future for pending in self._waiting.unanswered()]
        if begun:
            await asyncio.wait(begun, timeout=self._config.deadline_s)
        self._serving.cancel()
        await asyncio.wait([self._serving])
        self._waiting.close()
        self._session.close()
        for pending in self._waiting.unanswered():
            pending.fail(OutOfReach("the writer was closed"))
        if not self._serving.cancelled():
            self._serving.result()

    @property
    def counts(self) -> WriterCounts:
        """What it has done so far; counted up in place."""
        return self._rounds.counts

    async def run(
        self, handler: Callable[[C, UnitOfWork], R], command: C, context: Context
    ) -> Committed:
        """Decide and commit ``command``.

        Raises:
            Refused: the domain said no; nothing was recorded.
            OutOfReach: the log could not be reached within the deadline.
            FencedOff: the lease of ``context.fence`` is held by somebody else.
        """
        if self._serving.done() or len(self._waiting) >= self._config.waiting_max:
            raise OutOfReach("the writer takes no more commands now")
        if context.repeat is not None:
            return await self._run_once(handler, command, context, context.repeat.key_id)
        pending = self._waiting.add(handler, command, context)
        self._rouse()
        return await pending.future

    async def _run_once(
        self,
        handler: Callable[[C, UnitOfWork], R],
        command: C,
        context: Context,
        key_id: UUID,
    ) -> Committed:
        """One command under a key at a time: the second finds the receipt of the first."""
        receipt_type(handler)  # a handler without a return annotation is a defect: say it now
        while (first := self._repeatable.get(key_id)) is not None:
            await asyncio.wait([first.future])
        pending = self._waiting.add(handler, command, context)
        self._repeatable[key_id] = pending
        self._rouse()
        try:
            return await pending.future
        finally:
            del self._repeatable[key_id]

    # ── the loop ───────────────────────────────────────────────────────────────────────────

    def _rouse(self) -> None:
        if not self._wake.done():
            self._wake.set_result(None)

    def _on_landed(self) -> None:
        self._waiting.prune()  # by the deadline at the latest, but its memory is at hand now
        self._rouse()

    def _on_ended(self, serving: asyncio.Task[None]) -> None:
        """A writer that stops by itself has a defect: say it at once, refuse what comes."""
        if not serving.cancelled() and (error := serving.exception()) is not None:
            message = "the writer has stopped: this process changes nothing any more"
            self._loop.call_exception_handler({"message": message, "exception": error})
            for pending in self._waiting.unanswered():
                pending.fail(OutOfReach(message))

    async def _serve(self) -> None:
        while True:
            if self._rounds.failed:
                again = await self._rounds.recover(self._config.pause_s)
                self._waiting.put_back(again)
            elif room := self._room():
                await self._decide(self._waiting.take(room))
                self._rounds.launch()
            else:
                self._wake = self._loop.create_future()
                await self._wake

    def _room(self) -> int:
        """How many commands may join the open round now."""
        if not self._waiting:
            return 0
        if self._waiting.next_is_alone and not self._rounds.idle:
            return 0
        room = self._config.round_max - len(self._rounds.open.decided)
        if self._rounds.idle:
            return min(room, max(self._config.round_first, (len(self._waiting) + 1) // 2))
        return room

    async def _decide(self, waiting: list[Pending]) -> None:
        for _ in range(self._config.loads_max):
            streams: set[UUID] = set()
            users: set[UUID] = set()
            again = []
            for pending in waiting:
                if pending.unread:
                    again.append(pending)
                    streams.update(self._foreseen(pending.command))
                    continue
                try:
                    self._attempt(pending)
                except StreamMissing as missing:
                    streams.add(missing.stream)
                    again.append(pending)
                except KeyMissing as missing:
                    users.add(missing.user_id)
                    again.append(pending)
            if not again:
                break
            waiting = await self._load(again, streams, users)
        else:
            for pending in waiting:
                pending.fail(RuntimeError("the handler asked for ever more streams"))
        self._states.settle()

    def _foreseen(self, command: Struct) -> list[UUID]:
        """The streams that a command says it will load, as far as they are unknown."""
        streams: Callable[[], tuple[UUID, ...]] | None = getattr(command, "streams", None)
        if streams is None:
            return []
        return [stream for stream in streams() if not self._states.knows(stream)]

    def _attempt(self, pending: Pending) -> None:
        work = Work(self._rounds.find, self._rounds.find_new)
        try:
            decision = decide(
                pending.handler,
                pending.command,
                work,
                self._rounds.key_of,
                self._log.secrets,
                repeatable=pending.context.repeat is not None,
            )
        except Exception as error:  # noqa: BLE001 - a handler's defect is its caller's to hear
            # a defect as well may come of a state that another process has moved on from
            self._rounds.open.refuse(pending, work, error)
        else:
            self._rounds.open.add(pending, pending.context, work, decision)

    async def _load(
        self, waiting: list[Pending], streams: Collection[UUID], users: Collection[UUID]
    ) -> list[Pending]:
        """Read what was missing; returns who can be decided now."""
        wanted = self._states.wanted(streams)
        unread = {
            pending.context.repeat.key_id
            for pending in waiting
            if pending.unread and pending.context.repeat is not None
        }
        after = {stream: state[0] if state else 0 for stream, state in wanted.items()}
        try:
            answers = await self._session.read(after, users, unread)
        except LogFailure as failure:
            self._states.doubt(wanted)
            await self._pause(waiting, failure)
            return []
        self._states.read(wanted, answers.streams)
        for pending in waiting:
            repeat = pending.context.repeat
            if pending.unread and repeat is not None:
                pending.unread = False
                if (receipt := answers.receipts.get(repeat.key_id)) is not None:
                    replay(pending, repeat, receipt)
        return [pending for pending in waiting if not pending.future.done()]

    async def _pause(self, waiting: list[Pending], failure: LogFailure) -> None:
        """The log cannot be read: try again a little later, each until its deadline."""
        if isinstance(failure, ConnectionLost | Busy):
            await asyncio.sleep(self._config.pause_s)
            self._waiting.put_back(waiting)
        else:
            for pending in waiting:
                pending.fail(failure)


def replay(pending: Pending, repeat: Repeat, receipt: Receipt) -> None:
    """Answer a repeated command as it was answered then."""
    if receipt.request_digest != repeat.digest:
        pending.fail(IdempotencyMismatch())
        return
    result = msgspec.json.decode(receipt.result, type=receipt_type(pending.handler))
    pending.succeed(
        Committed(
            result,
            receipt.position,
            replay_of=receipt.command_id,
            recorded_at=receipt.recorded_at,
        )
    )
