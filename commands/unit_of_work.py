"""One command's view of the log: streams loaded, facts appended, rows kept.

States are frozen, so a command that is refused is undone by forgetting its work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar
from uuid import UUID

from msgspec import Struct

from domain.decider import Decider
from domain.errors import InvalidState, NotFound
from domain.facts import Fact

S = TypeVar("S")


class StreamMissing(BaseException):
    """The stream is not in memory: load it and run the handler again.

    No ``Exception``, so that no handler can take it for a failure of its own.
    """

    def __init__(self, stream: UUID) -> None:
        super().__init__(stream)
        self.stream = stream


State = tuple[int, Any, Decider[Any]]
"""A stream's version and state, and the kind of thing that it was folded as."""

Find = Callable[[Decider[Any], UUID], State]
"""Gives a stream as of a kind, or raises ``StreamMissing``, or ``NotFound``."""


def as_kind(decider: Decider[Any], state: State) -> State:
    """What is known of a stream, as this kind of thing.

    Law: who asks for a stream may have its id from anybody, so it may be anything. One in which
    there is nothing is whatever it is asked for as; any other is what it began as.

    Raises:
        NotFound: it is another kind of thing, for ever.
    """
    if state[2] is decider:
        return state
    if state[0]:
        raise NotFound
    return (0, decider.initial, decider)


class Work:
    """``domain.ports.UnitOfWork``.

    ``find`` gives the streams that are loaded, ``find_new`` those that are said to be new.
    """

    __slots__ = ("_find", "_find_new", "appended", "kept", "streams")

    def __init__(self, find: Find, find_new: Find) -> None:
        self.streams: dict[UUID, LoadedStream[Any]] = {}
        self.appended: list[tuple[UUID, int, Fact]] = []
        self.kept: list[Struct] = []
        self._find = find
        self._find_new = find_new

    def load(self, decider: Decider[S], stream: UUID) -> LoadedStream[S]:
        """The stream as of now; its version is checked at commit even if only read.

        Raises:
            NotFound: it is of another kind: nothing of this kind has its id.
        """
        loaded = self.streams.get(stream)
        if loaded is None:
            version, state, _ = self._find(decider, stream)
            loaded = LoadedStream(decider, stream, version, state, self.appended)
            self.streams[stream] = loaded
        elif loaded.decider is not decider:
            raise NotFound
        return loaded

    def create(self, decider: Decider[S], stream: UUID) -> LoadedStream[S]:
        """A stream that is known to be new: not read, but the commit checks that it was.

        Raises:
            InvalidState: it exists, of whatever kind.
        """
        try:
            version, state, _ = self._find_new(decider, stream)
        except NotFound:
            version, state = 1, None
        if version or stream in self.streams:
            raise InvalidState("the stream exists already", stream=str(stream))
        loaded = LoadedStream(decider, stream, 0, state, self.appended)
        self.streams[stream] = loaded
        return loaded

    def keep(self, row: Struct) -> None:
        """A durable row outside the log, written in the same commit: see ``commands.rows``."""
        self.kept.append(row)


class LoadedStream(Generic[S]):
    """``domain.ports.Loaded``; ``base`` is the version that the work found."""

    __slots__ = ("_appended", "base", "decider", "state", "stream", "version")

    def __init__(
        self,
        decider: Decider[S],
        stream: UUID,
        version: int,
        state: S,
        appended: list[tuple[UUID, int, Fact]],
    ) -> None:
        self.stream = stream
        self.base = version
        self.version = version
        self.state = state
        self.decider = decider
        self._appended = appended

    def append(self, *facts: Fact) -> None:
        """Add facts; ``state`` moves on at once."""
        evolve = self.decider.evolve
        for fact in facts:
            self.state = evolve(self.state, fact)
            self.version += 1
            self._appended.append((self.stream, self.version, fact))
