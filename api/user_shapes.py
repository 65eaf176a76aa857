"""Users as the contract prints them: money in yuan, times in UTC."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from api.envelope import shown
from domain.accounts.events import Role
from domain.money import to_yuan
from projections.users import UserRow


class Me(Struct, kw_only=True):
    """The account. ``balance`` in yuan is the money not yet settled, holds included."""

    id: UUID
    email: str
    username: str
    full_name: str
    role: Role
    is_active: bool
    balance: float
    held_balance: float
    available_balance: float
    total_tasks: int
    created_at: datetime | None
    last_login: datetime | None


def me_of(user: UserRow) -> Me:
    """The row in the contract's shape."""
    return Me(
        id=user.user_id,
        email=user.email,
        username=user.username,
        full_name=user.full_name,
        role=user.role,
        is_active=user.is_active,
        balance=to_yuan(user.balance_fen),
        held_balance=to_yuan(user.held_fen),
        available_balance=to_yuan(user.available_fen),
        total_tasks=user.total_tasks,
        created_at=shown(user.created_at),
        last_login=shown(user.last_login_at),
    )
