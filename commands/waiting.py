"""Commands that wait for their answer, and the one deadline of them all."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from domain.envelope import Context
from domain.ports import Committed, OutOfReach


class Pending:
    """A command that was not answered yet.

    ``unread`` while its receipt was not looked for; only what a client may repeat has one.
    ``alone`` when it must be decided in a round of its own.
    """

    __slots__ = (
        *("alone", "command", "conflicts", "context", "expires_at"),
        *("future", "handler", "unread"),
    )

    def __init__(
        self,
        handler: Callable[[Any, Any], Any],
        command: Struct,
        context: Context,
        future: asyncio.Future[Committed],
        expires_at: float,
    ) -> None:
        self.handler = handler
        self.command = command
        self.context = context
        self.future = future
        self.expires_at = expires_at
        self.unread = context.repeat is not None
        self.conflicts = 0
        self.alone = False

    def begin_again(self) -> None:
        """What was known of the log may have changed: its receipt is to be looked for anew."""
        self.unread = self.context.repeat is not None

    def succeed(self, committed: Committed) -> None:
        """Answer, unless nobody waits any more."""
        if not self.future.done():
            self.future.set_result(committed)

    def fail(self, error: BaseException) -> None:
        """Answer with an error, unless nobody waits any more."""
        if not self.future.done():
            self.future.set_exception(error)


class Waiting:
    """The queue of what was not decided yet, and the watch over all that was not answered."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deadline_s: float) -> None:
        self._loop = loop
        self._deadline_s = deadline_s
        self._undecided: deque[Pending] = deque()
        self._unanswered: deque[Pending] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._undecided)

    def add(
        self, handler: Callable[[Any, Any], Any], command: Struct, context: Context
    ) -> Pending:
        """Queue a command; from now on it has an answer within the deadline."""
        expires_at = self._loop.time() + self._deadline_s
        pending = Pending(handler, command, context, self._loop.create_future(), expires_at)
        self._undecided.append(pending)
        self._unanswered.append(pending)
        if self._timer is None:
            self._timer = self._loop.call_at(expires_at, self._expire)
        return pending

    def take(self, limit: int) -> list[Pending]:
        """At most ``limit`` commands that still want an answer; one that is alone is alone."""
        undecided = self._undecided
        taken: list[Pending] = []
        while undecided and len(taken) < limit:
            pending = undecided[0]
            if pending.alone and taken:
                break
            undecided.popleft()
            if pending.future.done():
                continue
            taken.append(pending)
            if pending.alone:
                break
        return taken

    @property
    def next_is_alone(self) -> bool:
        """Whether the next command wants a round of its own."""
        return bool(self._undecided) and self._undecided[0].alone

    def put_back(self, commands: Iterable[Pending]) -> None:
        """Queue these again, before all others, in their order."""
        self._undecided.extendleft(reversed(list(commands)))

    def prune(self) -> None:
        """Stop watching what was answered."""
        unanswered = self._unanswered
        while unanswered and unanswered[0].future.done():
            unanswered.popleft()

    def unanswered(self) -> list[Pending]:
        """All that still wait."""
        return [pending for pending in self._unanswered if not pending.future.done()]

    def close(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        now, unanswered = self._loop.time(), self._unanswered
        while unanswered and (unanswered[0].future.done() or unanswered[0].expires_at <= now):
            unanswered.popleft().fail(OutOfReach("the event log did not answer in time"))
        self._timer = (
            self._loop.call_at(unanswered[0].expires_at, self._expire) if unanswered else None
        )
