"""A log in a list, with an envelope around each fact."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from domain.envelope import Recorded, Told
from domain.facts import Fact

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class ListFeed:
    """A log in a list: ``domain.ports.EventFeed``."""

    def __init__(self, events: Sequence[Recorded[Any]] = ()) -> None:
        self.events = list(events)

    def head(self) -> int:
        return len(self.events)

    def read(self, after: int, limit: int) -> Sequence[Recorded[Any]]:
        return self.events[after : after + limit]

    def append(self, stream: UUID, *facts: Fact, at: datetime = NOON) -> None:
        for fact in facts:
            self.events.append(recorded(fact, stream, len(self.events) + 1, at))


class ListHistory:
    """``domain.ports.EventHistory`` of a list."""

    def __init__(self, feed: ListFeed, batch_events: int = 7) -> None:
        self.feed = feed
        self.batch_events = batch_events

    def head(self) -> int:
        return self.feed.head()

    def read(
        self, after: int, upto: int, facts: Collection[type[Fact]]
    ) -> Generator[Sequence[Told[Any]], None, None]:
        wanted = [event for event in self.feed.events[after:upto] if type(event.fact) in facts]
        for start in range(0, len(wanted), self.batch_events):
            yield wanted[start : start + self.batch_events]


def recorded(
    fact: Fact, stream: UUID, position: int, at: datetime, actor: str = "system:test"
) -> Recorded[Any]:
    return Recorded(
        position=position,
        stream=stream,
        version=position,
        recorded_at=at,
        actor=actor,
        command_id=UUID(int=position),
        correlation_id="test",
        causation_id=None,
        fact=fact,
    )
