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
    """Somebody opened an account; the stream's id is ``user_id``.

    ``username_claim`` is the stream of the claim on the username.
    """

    user_id: UUID
    email: Personal
    username: Personal
    full_name: Personal
    role: Role = "user"
    username_claim: UUID | None = None


class UserLoggedIn(Fact, frozen=True, tag="accounts.user_logged_in/1", kw_only=True):
    """A password was accepted and a token given."""

    user_id: UUID
    address: Personal | None = None


class ProfileChanged(Fact, frozen=True, tag="accounts.profile_changed/1", kw_only=True):
    """The user changed what they are called; ``None`` means left as it was.

    ``username_claim`` is the stream of the claim on the new username.
    """

    user_id: UUID
    full_name: Personal | None = None
    username: Personal | None = None
    username_claim: UUID | None = None


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
    reason: str = ""


class UserDeactivated(Fact, frozen=True, tag="accounts.user_deactivated/1", kw_only=True):
    """The user may not log in any more; tokens below ``token_version`` are dead."""

    user_id: UUID
    token_version: int
    reason: str = ""


class UserReactivated(Fact, frozen=True, tag="accounts.user_reactivated/1", kw_only=True):
    """The user may log in again."""

    user_id: UUID
    reason: str = ""


class UserErased(Fact, frozen=True, tag="accounts.user_erased/1", kw_only=True):
    """The user's key was destroyed: what is personal in all facts about them reads as erased.

    Money, tasks and proofs stay. Tokens below ``token_version`` are dead.
    """

    user_id: UUID
    token_version: int
    reason: str


UserFact: TypeAlias = (
    UserRegistered
    | UserLoggedIn
    | ProfileChanged
    | PasswordChanged
    | RoleChanged
    | UserDeactivated
    | UserReactivated
    | UserErased
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


class AdminAppointed(Fact, frozen=True, tag="accounts.admin_appointed/1", kw_only=True):
    """The user is an active admin now; recorded where all admins are, beside the cause."""

    user_id: UUID


class AdminDismissed(Fact, frozen=True, tag="accounts.admin_dismissed/1", kw_only=True):
    """The user is no active admin any more."""

    user_id: UUID


AdminFact: TypeAlias = AdminAppointed | AdminDismissed
