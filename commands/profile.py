"""Commands of users about themselves: change the profile, change the password."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from commands.rows import CredentialChange
from domain.accounts import user as users
from domain.accounts.claim import CLAIM, claim, release
from domain.accounts.user import USER
from domain.ports import UnitOfWork


class ChangeProfile(Struct, frozen=True, kw_only=True):
    """Change what the user is called; ``None`` means left as it is.

    ``username_claim`` is the stream of the normalised new username: given with it, or not.
    """

    user_id: UUID
    full_name: str | None = None
    username: str | None = None
    username_claim: UUID | None = None

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        if self.username_claim is None:
            return (self.user_id,)
        return (self.user_id, self.username_claim)


class ProfileNow(Struct, frozen=True):
    """The profile is changed."""

    user_id: UUID


def change_profile(command: ChangeProfile, work: UnitOfWork) -> ProfileNow:
    """Claim the new username and release the old one in the commit that changes the profile.

    Raises:
        NotFound: no such user.
        InvalidState: the user is switched off.
        UsernameTaken: another user has the name.
    """
    user = work.load(USER, command.user_id)
    changed = users.change_profile(
        user.state,
        full_name=command.full_name,
        username=command.username,
        username_claim=command.username_claim,
    )
    former = user.state.username_claim if user.state is not None else None
    if command.username_claim is not None and command.username_claim != former:
        _move_name(former, command.username_claim, command.user_id, work)
    user.append(changed)
    return ProfileNow(command.user_id)


def _move_name(former: UUID | None, new: UUID, user_id: UUID, work: UnitOfWork) -> None:
    username = work.load(CLAIM, new)
    username.append(*claim(username.state, "username", user_id=user_id))
    if former is not None:
        given_up = work.load(CLAIM, former)
        given_up.append(*release(given_up.state, "username", user_id=user_id))


class ChangePassword(Struct, frozen=True, kw_only=True):
    """Replace the password. ``token_version`` is the one at which the old one was checked."""

    user_id: UUID
    password_hash: str
    token_version: int

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.user_id,)


class PasswordNow(Struct, frozen=True):
    """The password is changed; only tokens of this version work from now on."""

    user_id: UUID
    token_version: int


def change_password(command: ChangePassword, work: UnitOfWork) -> PasswordNow:
    """Replace the password and end every token given before.

    Raises:
        NotFound: no such user.
        InvalidState: the user is switched off.
        PasswordOutdated: it was changed since it was checked.
    """
    user = work.load(USER, command.user_id)
    changed = users.change_password(user.state, token_version=command.token_version)
    user.append(changed)
    work.keep(
        CredentialChange(
            user_id=command.user_id,
            token_version=changed.token_version,
            password_hash=command.password_hash,
        )
    )
    return PasswordNow(command.user_id, changed.token_version)
