"""The log's recorder in memory: the library's own, keeping envelopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from eventsourcing.persistence import EventStore, StoredEvent
from eventsourcing.popo import POPOApplicationRecorder

from commands.event_log.mapper import FactMapper, StoredRecord


class MemoryRecorder(POPOApplicationRecorder):
    """What ``EventRecorder`` is on PostgreSQL."""

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[StoredRecord]:
        found = super().select_notifications(
            start, limit, stop, topics, inclusive_of_start=inclusive_of_start
        )
        return [self._numbered(notification.id) for notification in found]

    def select_events(self, originator_id: UUID | str, **bounds: Any) -> Sequence[StoredEvent]:
        found = super().select_events(originator_id, **bounds)
        return [self._numbered(self._stored_events.index(event) + 1) for event in found]

    def _numbered(self, position: int) -> StoredRecord:
        event = self._stored_events[position - 1]
        assert isinstance(event, StoredRecord)
        return replace(event, id=position)


def memory_store(keys: dict[UUID, bytes]) -> EventStore[UUID]:
    """An event store in memory, with the real mapper."""
    return EventStore(FactMapper(keys.get), MemoryRecorder())
