"""Facts about users. Personal fields are stored encrypted under the user's own key.

Password hashes never enter a fact: they live in the credential table, written in the same
commit.
"""

from __future__ import annotations

from typing import Literal, TypeAlias
from uuid import UUID

from domain.facts import Fact, Personal

Role = Literal["user", "admin", "super_admin", "auditor"]


class UserRegistered(Fact, frozen=True, tag="accounts.user_registered/1", kw_only=True):
    """Somebody opened an account; the stream's id is ``user_id``."""

    user_id: UUID
    email: Personal
    username: Personal
    full_name: Personal
    role: Role = "user"


class UserLoggedIn(Fact, frozen=True, tag="accounts.user_logged_in/1", kw_only=True):
    """A password was accepted and a token given."""

    user_id: UUID
    address: Personal | None = None


class ProfileChanged(Fact, frozen=True, tag="accounts.profile_changed/1", kw_only=True):
    """The user changed what they are called; ``None`` means left as it was."""

    user_id: UUID
    full_name: Personal | None = None
    username: Personal | None = None


class PasswordChanged(Fact, frozen=True, tag="accounts.password_changed/1", kw_only=True):
    """The password was replaced; tokens below ``token_version`` are dead."""

    user_id: UUID
    token_version: int


class RoleChanged(Fact, frozen=True, tag="accounts.role_changed/1", kw_only=True):
    """An admin gave the user another role; tokens below ``token_version`` are dead."""

    user_id: UUID
    before: Role
    after: Role
    token_version: int


class UserDeactivated(Fact, frozen=True, tag="accounts.user_deactivated/1", kw_only=True):
    """The user may not log in any more; tokens below ``token_version`` are dead."""

    user_id: UUID
    token_version: int


class UserReactivated(Fact, frozen=True, tag="accounts.user_reactivated/1", kw_only=True):
    """The user may log in again."""

    user_id: UUID


UserFact: TypeAlias = (
    UserRegistered
    | UserLoggedIn
    | ProfileChanged
    | PasswordChanged
    | RoleChanged
    | UserDeactivated
    | UserReactivated
)


class NameClaimed(Fact, frozen=True, tag="accounts.name_claimed/1", kw_only=True):
    """A unique value (e-mail or username) now belongs to ``user_id``.

    The stream's id is a keyed digest of the normalised value, so the log does not give the
    value away.
    """

    kind: Literal["email", "username"]
    user_id: UUID


class NameReleased(Fact, frozen=True, tag="accounts.name_released/1", kw_only=True):
    """The value may be claimed by somebody else."""

    kind: Literal["email", "username"]
    user_id: UUID


ClaimFact: TypeAlias = NameClaimed | NameReleased
