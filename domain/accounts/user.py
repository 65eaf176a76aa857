"""The user aggregate: registered once, then renamed, promoted, switched off and on."""

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
    UserFact,
    UserLoggedIn,
    UserReactivated,
    UserRegistered,
)
from domain.decider import Decider
from domain.errors import InvalidState, NotFound


class User(Struct, frozen=True, kw_only=True):
    """What decisions about a user need; personal fields are left to the read models."""

    user_id: UUID
    role: Role
    is_active: bool = True
    token_version: int = 1


def evolve(user: User | None, fact: UserFact) -> User:
    """Fold one fact."""
    if isinstance(fact, UserRegistered):
        return User(user_id=fact.user_id, role=fact.role)
    assert user is not None, "a fact before the registration: the stream is corrupt"
    match fact:
        case UserLoggedIn() | ProfileChanged():
            return user
        case PasswordChanged(token_version=version):
            return replace(user, token_version=version)
        case RoleChanged(after=role, token_version=version):
            return replace(user, role=role, token_version=version)
        case UserDeactivated(token_version=version):
            return replace(user, is_active=False, token_version=version)
        case UserReactivated():
            return replace(user, is_active=True)
        case _:
            assert_never(fact)


USER: Decider[User | None] = Decider("user", None, evolve)


def log_in(user: User | None, *, address: str | None) -> UserLoggedIn:
    """Note a login.

    Raises:
        NotFound: no such user.
        InvalidState: the user is switched off.
    """
    if user is None:
        raise NotFound
    if not user.is_active:
        message = "the user is inactive"
        raise InvalidState(message)
    return UserLoggedIn(user_id=user.user_id, address=address)
