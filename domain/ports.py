"""The doors between the rooms: protocols only.

The write side, the read side and the agent's programs never import each other; each takes what
it needs through one of these, handed over by the composition root in ``api``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar, runtime_checkable
from uuid import UUID

from msgspec import Struct

from domain.decider import Decider
from domain.envelope import Context, Recorded, Told
from domain.facts import Fact, SealedText

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)
C_contra = TypeVar("C_contra", bound=Struct, contravariant=True)
C = TypeVar("C", bound=Struct)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


@runtime_checkable
class Clock(Protocol):
    """Gives the present as an aware UTC time."""

    def __call__(self) -> datetime:
        """Now."""
        ...


@runtime_checkable
class Ids(Protocol):
    """Gives a fresh time-ordered id."""

    def __call__(self) -> UUID:
        """A new id."""
        ...


class Loaded(Protocol[S_co]):
    """One stream inside a unit of work: its state so far, and a place to append."""

    @property
    def state(self) -> S_co:
        """What the stream says so far, own appends included."""
        ...

    @property
    def version(self) -> int:
        """The number of events so far; 0 for a stream that does not exist."""
        ...

    def append(self, *facts: Fact) -> None:
        """Add facts; ``state`` moves on at once."""
        ...


class UnitOfWork(Protocol):
    """What a command's handler works on; all it appends is committed together, or nothing."""

    def load(self, decider: Decider[S], stream: UUID) -> Loaded[S]:
        """The stream as of now; its version is checked at commit even if only read.

        Raises:
            NotFound: it is of another kind: nothing of this kind has its id.
        """
        ...

    def create(self, decider: Decider[S], stream: UUID) -> Loaded[S]:
        """A stream that is known to be new: not read, but the commit checks that it was.

        Raises:
            InvalidState: it exists, of whatever kind.
        """
        ...

    def keep(self, row: Struct) -> None:
        """A durable row outside the log (a credential, a key) written in the same commit."""
        ...


class Handler(Protocol[C_contra, R_co]):
    """Decides one command. May run more than once, so it must depend on its arguments only."""

    def __call__(self, command: C_contra, work: UnitOfWork, /) -> R_co:
        """Load streams, append facts, return the receipt."""
        ...


class Committed(Struct, frozen=True):
    """A command's receipt: what its handler returned and the position of its last event.

    ``position`` is 0 when the handler appended nothing. ``replay_of`` is set when the command
    had already happened, under that id, and this is the receipt it got then. ``recorded_at``
    is what its events bear.
    """

    result: Any
    position: int
    replay_of: UUID | None = None
    recorded_at: datetime | None = None


class CommandWriter(Protocol):
    """The one way to change anything."""

    async def run(
        self, handler: Callable[[C, UnitOfWork], R], command: C, context: Context
    ) -> Committed:
        """Decide and commit ``command``.

        Raises:
            Refused: the domain said no; nothing was recorded.
            OutOfReach: the log could not be reached within the deadline.
        """
        ...


class OutOfReach(Exception):
    """The event log did not answer within the deadline: try again, with the same command id."""


class FencedOff(Exception):
    """The lease that the commit depended on is held by somebody else: stop leading."""


class Undecodable(Exception):
    """The event at ``position`` is in the log, and this program cannot read it."""

    def __init__(self, position: int, tag: str, event_id: str, why: str) -> None:
        super().__init__(f"position {position} cannot be read: event {event_id}, {tag}: {why}")
        self.position = position
        self.tag = tag


class EventFeed(Protocol):
    """Reads a log in order. Blocking: call it from a thread."""

    def head(self) -> int:
        """The highest position, 0 when the log is empty."""
        ...

    def read(self, after: int, limit: int) -> Sequence[Recorded[Any]]:
        """At most ``limit`` events with a position above ``after``, in order.

        It may give what is at hand, though more follows: only nothing means the log's end.

        Raises:
            Undecodable: the very next event cannot be read.
        """
        ...


class EventHistory(Protocol):
    """Reads long stretches of a log, fast. Blocking: call it from a thread."""

    def head(self) -> int:
        """The highest position, 0 when the log is empty.

        Raises:
            OutOfReach: the log could not be reached within the deadline.
        """
        ...

    def read(
        self, after: int, upto: int, facts: Collection[type[Fact]]
    ) -> Generator[Sequence[Told[Any]], None, None]:
        """The events about ``facts`` above ``after`` and up to ``upto``, in order, by batches.

        Events about other facts are left out and not even looked at. One whose tag nobody
        knows is about any of them.

        Raises:
            Undecodable: the next event about ``facts`` cannot be read.
        """
        ...


class PrivateTexts(Protocol):
    """Opens what users wrote for themselves, for whoever is shown it. Blocking."""

    def open(self, sealed: Sequence[SealedText]) -> list[str]:
        """Each in the clear; ``ERASED`` where the user's key was destroyed.

        Raises:
            OutOfReach: the keys could not be reached within the deadline.
        """
        ...


class Signal(Protocol):
    """A wake-up hint. Correctness never rests on it: whoever waits also polls."""

    def notify(self, position: int) -> None:
        """Say that the log (or a read model) has reached ``position``; from any thread."""
        ...

    async def wait(self, after: int, timeout_s: float) -> int:
        """The newest position known, as soon as it is above ``after`` or time is up."""
        ...
