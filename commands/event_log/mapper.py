"""Between a recorded fact and the library's stored events, envelope included."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from eventsourcing.persistence import JSONTranscoder, Mapper, Notification, StoredEvent

from commands.event_log.personal import KeyOf, opened, sealed
from domain.catalogue import decode, encode
from domain.envelope import Recorded
from domain.facts import tag_of


@dataclass(frozen=True)
class StoredRecord(Notification):
    """A stored event with its envelope; ``id`` is its position, 0 before it has one."""

    recorded_at: datetime
    actor: str
    command_id: UUID
    correlation_id: str
    causation_id: int | None


class FactMapper(Mapper[UUID]):
    """The tag is the topic, JSON the state; personal fields are sealed on the way."""

    def __init__(self, key_of: KeyOf) -> None:
        super().__init__(JSONTranscoder())  # asked for by the library, used by none of this
        self._key_of = key_of

    def to_stored_event(self, domain_event: Any) -> StoredRecord:
        """A recorded fact as it is stored."""
        event: Recorded[Any] = domain_event
        return StoredRecord(
            originator_id=event.stream,
            originator_version=event.version,
            topic=tag_of(event.fact),
            state=encode(sealed(event.fact, self._key_of)),
            id=event.position,
            recorded_at=event.recorded_at,
            actor=event.actor,
            command_id=event.command_id,
            correlation_id=event.correlation_id,
            causation_id=event.causation_id,
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """A stored event as it was recorded."""
        assert isinstance(stored_event, StoredRecord), "our recorders give nothing else"
        assert isinstance(stored_event.originator_id, UUID)
        return Recorded(
            position=stored_event.id,
            stream=stored_event.originator_id,
            version=stored_event.originator_version,
            recorded_at=stored_event.recorded_at,
            actor=stored_event.actor,
            command_id=stored_event.command_id,
            correlation_id=stored_event.correlation_id,
            causation_id=stored_event.causation_id,
            fact=opened(decode(stored_event.state), self._key_of),
        )
