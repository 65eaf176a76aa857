"""The admins aggregate: who the active admins are, so that there always is one.

Whoever becomes an active admin, or stops being one, does so in a commit that also moves this
stream: two admins who demote each other at the same time meet here.
"""

from __future__ import annotations

from typing import Final, assert_never
from uuid import UUID

from msgspec import Struct

from domain.accounts.events import AdminAppointed, AdminDismissed, AdminFact, Role
from domain.accounts.user import User
from domain.decider import Decider
from domain.errors import InvalidState

ADMIN_ROLES: Final[frozenset[Role]] = frozenset({"admin", "super_admin"})


class LastAdmin(InvalidState):
    """Without this admin nobody could administer the platform any more."""


class Admins(Struct, frozen=True):
    """The active admins."""

    active: frozenset[UUID] = frozenset()


def evolve(admins: Admins, fact: AdminFact) -> Admins:
    """Fold one fact."""
    match fact:
        case AdminAppointed(user_id=user_id):
            return Admins(admins.active | {user_id})
        case AdminDismissed(user_id=user_id):
            return Admins(admins.active - {user_id})
        case _:
            assert_never(fact)


ADMINS: Decider[Admins] = Decider("admins", Admins(), evolve, AdminFact)


def is_active_admin(user: User | None) -> bool:
    """Whether this user may administer the platform."""
    return user is not None and user.is_active and user.role in ADMIN_ROLES


def appoint(admins: Admins, *, user_id: UUID) -> tuple[AdminAppointed, ...]:
    """Count the user among the active admins."""
    return () if user_id in admins.active else (AdminAppointed(user_id=user_id),)


def dismiss(admins: Admins, *, user_id: UUID) -> tuple[AdminDismissed, ...]:
    """Count the user among them no longer.

    Raises:
        LastAdmin: nobody else is left.
    """
    if admins.active <= {user_id}:
        raise LastAdmin("the last active admin stays")
    return (AdminDismissed(user_id=user_id),) if user_id in admins.active else ()
