"""Durable rows outside the log that a command's commit carries: ``work.keep(row)``.

They hold what must never enter an event (password hashes, keys), and what every request asks
for and no read model may be late with. All are in schema ``owl_private``.
"""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from domain.accounts.events import Role


class Credential(Struct, frozen=True, kw_only=True):
    """A new user's way in; ``email_claim`` is the keyed digest that a login looks up."""

    user_id: UUID
    email_claim: UUID
    password_hash: str
    token_version: int
    role: Role
    is_active: bool


class CredentialChange(Struct, frozen=True, kw_only=True):
    """What changes of a user's way in; ``None`` means left as it is."""

    user_id: UUID
    token_version: int
    password_hash: str | None = None
    role: Role | None = None
    is_active: bool | None = None


class SubjectKey(Struct, frozen=True, kw_only=True):
    """The key (32 random bytes) under which a new user's personal fields are stored."""

    user_id: UUID
    key: bytes


class SubjectErasure(Struct, frozen=True, kw_only=True):
    """A user's key and way in, to be destroyed."""

    user_id: UUID


class Maintenance(Struct, frozen=True):
    """Whether the platform takes writes of admins only."""

    is_on: bool
