"""Forgetting a person: their key is destroyed, and with it all that the log says of them."""

from __future__ import annotations

from domain.accounts.admins import is_active_admin
from domain.accounts.events import UserErased
from domain.accounts.user import User, existing
from domain.errors import InvalidState
from domain.wallet.wallet import Wallet


def erase(user: User | None, wallet: Wallet, *, reason: str) -> tuple[UserErased, ...]:
    """Forget who the user is; nothing happens when that is so already.

    Raises:
        NotFound: no such user.
        InvalidState: the user has open tasks, or administers the platform.
    """
    known = existing(user)
    if known.is_erased:
        return ()
    if wallet.holds:
        raise InvalidState("the user has open tasks: cancel them first", open=len(wallet.holds))
    if is_active_admin(known):
        raise InvalidState("the user administers the platform: take the role away first")
    return (
        UserErased(user_id=known.user_id, token_version=known.token_version + 1, reason=reason),
    )
