"""A unit of work in memory, for tests of handlers: no database, no threads, no waiting.

Law: it says what ``commands.unit_of_work`` says, by the simplest means; the conformance suite
of the writer runs the real one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from uuid import UUID

from msgspec import Struct

from domain.decider import Decider
from domain.errors import InvalidState, NotFound
from domain.facts import Fact

S = TypeVar("S")
C = TypeVar("C", bound=Struct)
R = TypeVar("R")


class MemoryLog:
    """What was committed: facts by stream, all facts in order, and the rows kept beside."""

    def __init__(self) -> None:
        self.streams: defaultdict[UUID, list[Fact]] = defaultdict(list)
        self.story: list[tuple[UUID, Fact]] = []
        self.rows: list[Struct] = []

    def given(self, stream: UUID, *facts: Fact) -> None:
        """Let ``facts`` have happened."""
        self.streams[stream].extend(facts)
        self.story.extend((stream, fact) for fact in facts)

    def run(self, handler: Callable[[C, MemoryWork], R], command: C) -> R:
        """Decide and commit ``command``; what it raises leaves no trace."""
        work = MemoryWork(self)
        result = handler(command, work)
        for stream, fact in work.appended:
            self.given(stream, fact)
        self.rows.extend(work.kept)
        return result

    def state(self, decider: Decider[S], stream: UUID) -> S:
        """What the stream says."""
        return decider.fold(self.streams[stream])

    def facts(self, stream: UUID) -> list[Fact]:
        """All facts of one stream."""
        return list(self.streams[stream])


class MemoryWork:
    """``domain.ports.UnitOfWork`` over a ``MemoryLog``."""

    def __init__(self, log: MemoryLog) -> None:
        self.appended: list[tuple[UUID, Fact]] = []
        self.kept: list[Struct] = []
        self._log = log
        self._loaded: dict[UUID, MemoryStream[Any]] = {}

    def load(self, decider: Decider[S], stream: UUID) -> MemoryStream[S]:
        """The stream as committed, with what this work appended.

        Raises:
            NotFound: it is of another kind.
        """
        if stream not in self._loaded:
            facts = self._log.streams[stream]
            if facts and not decider.begins(type(facts[0])):
                raise NotFound
            self._loaded[stream] = MemoryStream(self, decider, stream, facts)
        loaded = self._loaded[stream]
        if loaded.decider is not decider:
            raise NotFound
        return loaded

    def create(self, decider: Decider[S], stream: UUID) -> MemoryStream[S]:
        """A new stream.

        Raises:
            InvalidState: it exists.
        """
        if stream in self._loaded or self._log.streams[stream]:
            raise InvalidState("the stream exists already", stream=str(stream))
        return self.load(decider, stream)

    def keep(self, row: Struct) -> None:
        """A row written in the same commit."""
        self.kept.append(row)


class MemoryStream(Generic[S]):
    """``domain.ports.Loaded``."""

    def __init__(
        self, work: MemoryWork, decider: Decider[S], stream: UUID, facts: list[Fact]
    ) -> None:
        self.state = decider.fold(facts)
        self.version = len(facts)
        self._work = work
        self.decider = decider
        self._stream = stream

    def append(self, *facts: Fact) -> None:
        """Add facts; ``state`` moves on at once."""
        self.state = self.decider.fold(facts, self.state)
        self.version += len(facts)
        self._work.appended.extend((self._stream, fact) for fact in facts)
