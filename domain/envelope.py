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


class Repeat(Struct, frozen=True):
    """What makes a command repeatable: the client's key as an id, and what it asks for.

    The receipt is kept under ``key_id``, for a day; asked again with the same ``digest`` the
    command gets it once more, with another it is refused.
    """

    key_id: UUID
    digest: bytes


class Context(Struct, frozen=True, kw_only=True):
    """What every event of one command shares, and what its commit depends on.

    ``command_id`` identifies the command for ever: asking the log for it tells whether the
    command happened. ``correlation_id`` is the request id that started it all;
    ``causation_id`` is the position of the event that caused this command, if one did.
    ``repeat`` is given when the client may repeat the command (an idempotency key). ``fence``
    ties the commit to a lease.
    """

    command_id: UUID
    actor: Actor
    correlation_id: str
    causation_id: int | None = None
    repeat: Repeat | None = None
    fence: Fence | None = None


class Told(Struct, Generic[F_co], frozen=True, gc=False):
    """One event as a fold sees it: where it stands, when and by whom, and what happened.

    Not which command it was: a rebuild need not read that. In the order of its fields it is
    made in bulk.
    """

    position: int
    stream: UUID
    version: int
    recorded_at: datetime
    actor: str
    fact: F_co


class Recorded(Told[F_co], frozen=True, kw_only=True, gc=False):
    """One event as the log tells it."""

    command_id: UUID
    correlation_id: str
    causation_id: int | None
