"""Commands about who looked, or wanted in: what was asked is recorded before it is answered."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from domain.ports import UnitOfWork
from domain.system.accesses import ACCESS, AccessFact, AuditTailEnded


class NoteAccess(Struct, frozen=True, kw_only=True):
    """Somebody looked, or wanted in; ``access_id`` is new."""

    access_id: UUID
    fact: AccessFact

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return ()


class NoteTailEnded(Struct, frozen=True, kw_only=True):
    """The tail that began as ``access_id`` is over."""

    access_id: UUID
    fact: AuditTailEnded

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.access_id,)


class AccessNoted(Struct, frozen=True):
    """It is in the log."""

    access_id: UUID


def note_access(command: NoteAccess, work: UnitOfWork) -> AccessNoted:
    """Record an access."""
    work.create(ACCESS, command.access_id).append(command.fact)
    return AccessNoted(command.access_id)


def note_tail_ended(command: NoteTailEnded, work: UnitOfWork) -> AccessNoted:
    """Record its end."""
    work.load(ACCESS, command.access_id).append(command.fact)
    return AccessNoted(command.access_id)
