"""Decisions of admins about a user's standing: the role, and whether they may log in.

A change that takes something away ends every token given before it; one that only adds leaves
the user signed in, since roles are read at each request.
"""

from __future__ import annotations

from typing import Final

from domain.accounts.admins import is_active_admin
from domain.accounts.events import Role, RoleChanged, UserDeactivated, UserReactivated
from domain.accounts.user import User
from domain.errors import Denied, InvalidState

MAY: Final[dict[Role, frozenset[str]]] = {
    "user": frozenset({"use"}),
    "auditor": frozenset({"read everything"}),
    "admin": frozenset({"use", "read everything", "administer"}),
    "super_admin": frozenset({"use", "read everything", "administer", "rule admins"}),
}
"""What each role may do that another may not."""


def authorise(actor: User | None, user: User, *, role: Role | None) -> None:
    """Let ``actor`` change ``user``, to ``role`` if one is given.

    Raises:
        Denied: the actor is no active admin any more, or no super admin where it takes one.
    """
    if actor is None or not is_active_admin(actor):
        raise Denied("only an active admin changes users")
    if "super_admin" in {user.role, role} and actor.role != "super_admin":
        raise Denied("only a super admin makes or changes a super admin")


def change_role(user: User, role: Role, *, reason: str) -> tuple[RoleChanged, ...]:
    """Give the user another role; nothing happens when they have it."""
    if role == user.role:
        return ()
    loses = not MAY[user.role] <= MAY[role]
    return (
        RoleChanged(
            user_id=user.user_id,
            before=user.role,
            after=role,
            token_version=user.token_version + int(loses),
            reason=reason,
        ),
    )


def set_active(
    user: User, *, is_active: bool, reason: str
) -> tuple[UserDeactivated | UserReactivated, ...]:
    """Switch the user off or on; nothing happens when they are.

    Raises:
        InvalidState: the user was erased, and cannot come back.
    """
    if is_active == user.is_active:
        return ()
    if user.is_erased:
        raise InvalidState("the user was erased")
    if is_active:
        return (UserReactivated(user_id=user.user_id, reason=reason),)
    version = user.token_version + 1
    return (UserDeactivated(user_id=user.user_id, token_version=version, reason=reason),)


def keep_own_office(actor: User, user: User) -> None:
    """Whoever administers must not take that from themselves by mistake.

    ``user`` is the user as they would be.

    Raises:
        InvalidState: the actor would end as no active admin.
    """
    if actor.user_id == user.user_id and not is_active_admin(user):
        raise InvalidState("an admin cannot demote or deactivate themselves")
