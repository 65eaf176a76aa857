"""The envelope around a fact: where it stands in the log, when, by whom and because of what."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, Literal, TypeVar
from uuid import UUID

from msgspec import Struct

from domain.facts import Fact

ActorKind = Literal["user", "admin", "agent", "policy", "system"]

F_co = TypeVar("F_co", bound=Fact, covariant=True)


class Actor(Struct, frozen=True):
    """Who acted.

    Stored as ``kind:name``: ``user:<uuid>``, ``agent:<server>``, ``policy:leases``.
    """

    kind: ActorKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


class Fence(Struct, frozen=True):
    """A commit that is only valid while its maker still holds lease ``name`` at ``epoch``."""

    name: str
    epoch: int


class Context(Struct, frozen=True, kw_only=True):
    """What every event of one command shares, and what its commit depends on.

    ``command_id`` identifies the command for ever: asking the log for it tells whether the
    command happened. ``correlation_id`` is the request id that started it all;
    ``causation_id`` is the position of the event that caused this command, if one did.
    ``request_digest`` is given when the client may repeat the command (an idempotency key):
    then the receipt is kept, and a repeat with another digest is refused. ``fence`` ties the
    commit to a lease.
    """

    command_id: UUID
    actor: Actor
    correlation_id: str
    causation_id: int | None = None
    request_digest: bytes | None = None
    fence: Fence | None = None


class Recorded(Struct, Generic[F_co], frozen=True, kw_only=True, gc=False):
    """One event as the log tells it."""

    position: int
    stream: UUID
    version: int
    recorded_at: datetime
    actor: str
    command_id: UUID
    correlation_id: str
    causation_id: int | None
    fact: F_co
