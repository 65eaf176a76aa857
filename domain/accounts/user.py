"""The user aggregate: registered once, then renamed, promoted, switched off and on.

What an admin decides about a user stands in ``standing``.
"""

from __future__ import annotations

from typing import assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.accounts.events import (
    PasswordChanged,
    ProfileChanged,
    Role,
    RoleChanged,
    UserDeactivated,
    UserErased,
    UserFact,
    UserLoggedIn,
    UserReactivated,
    UserRegistered,
)
from domain.decider import Decider
from domain.errors import InvalidState, NotFound, Refused


class PasswordOutdated(Refused):
    """The password that was given is no longer the user's: it changed in the meantime."""

    code = "INVALID_CREDENTIALS"


class User(Struct, frozen=True, kw_only=True):
    """What decisions about a user need; personal fields are left to the read models."""

    user_id: UUID
    role: Role
    is_active: bool = True
    token_version: int = 1
    username_claim: UUID | None = None
    is_erased: bool = False


def evolve(user: User | None, fact: UserFact) -> User:
    """Fold one fact."""
    if isinstance(fact, UserRegistered):
        return User(user_id=fact.user_id, role=fact.role, username_claim=fact.username_claim)
    assert user is not None, "a fact before the registration: the stream is corrupt"
    match fact:
        case UserLoggedIn():
            return user
        case ProfileChanged(username_claim=claim):
            return user if claim is None else replace(user, username_claim=claim)
        case PasswordChanged(token_version=version):
            return replace(user, token_version=version)
        case RoleChanged(after=role, token_version=version):
            return replace(user, role=role, token_version=version)
        case UserDeactivated(token_version=version):
            return replace(user, is_active=False, token_version=version)
        case UserReactivated():
            return replace(user, is_active=True)
        case UserErased(token_version=version):
            return replace(
                user,
                is_active=False,
                token_version=version,
                username_claim=None,
                is_erased=True,
            )
        case _:
            assert_never(fact)


USER: Decider[User | None] = Decider("user", None, evolve, UserFact)


def existing(user: User | None) -> User:
    """The user.

    Raises:
        NotFound: no such user.
    """
    if user is None:
        raise NotFound
    return user


def acting(user: User | None) -> User:
    """The user, who is about to do something themselves.

    Raises:
        NotFound: no such user.
        InvalidState: the user is switched off.
    """
    if not existing(user).is_active:
        message = "the user is inactive"
        raise InvalidState(message)
    return existing(user)


def log_in(user: User | None, *, token_version: int, address: str | None) -> UserLoggedIn:
    """Note a login; ``token_version`` is the one at which the password was accepted.

    Raises:
        NotFound: no such user.
        InvalidState: the user is switched off.
        PasswordOutdated: something was taken away since, the password perhaps.
    """
    known = acting(user)
    if known.token_version != token_version:
        raise PasswordOutdated("the password was changed since it was checked")
    return UserLoggedIn(user_id=known.user_id, address=address)


def change_profile(
    user: User | None,
    *,
    full_name: str | None,
    username: str | None,
    username_claim: UUID | None,
) -> ProfileChanged:
    """Change what the user is called.

    Raises:
        NotFound: no such user.
        InvalidState: the user is switched off.
    """
    assert (username is None) == (username_claim is None), "a username comes with its claim"
    return ProfileChanged(
        user_id=acting(user).user_id,
        full_name=full_name,
        username=username,
        username_claim=username_claim,
    )


def change_password(user: User | None, *, token_version: int) -> PasswordChanged:
    """Replace the password; ``token_version`` is the one at which the old one was checked.

    Raises:
        NotFound: no such user.
        InvalidState: the user is switched off.
        PasswordOutdated: it was changed since it was checked.
    """
    known = acting(user)
    if known.token_version != token_version:
        raise PasswordOutdated("the password was changed since it was checked")
    return PasswordChanged(user_id=known.user_id, token_version=token_version + 1)
