"""Users: profile, money and totals, as ``GET /users/me`` and its statistics show them.

Passwords, token versions and the roles that authorise are not here: those are exact, written
in the command's own commit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from psycopg import AsyncConnection

from domain.accounts.events import (
    ProfileChanged,
    Role,
    RoleChanged,
    UserDeactivated,
    UserErased,
    UserLoggedIn,
    UserReactivated,
    UserRegistered,
)
from domain.envelope import Told
from domain.facts import ERASED
from domain.money import Fen
from domain.tasks.events import TaskSubmitted, TaskSubmittedInClear
from domain.wallet.events import (
    AccountRecharged,
    BalanceAdjusted,
    HoldExtended,
    HoldPlaced,
    HoldSettled,
)
from projections.page import one
from projections.read_model import ReadModel, Table, Tally, first, on


class UserRow(Struct, frozen=True, kw_only=True, gc=False):
    """One user. ``balance_fen`` is the money not yet settled, holds included.

    It is ``recharged_fen`` with ``granted_fen``, less ``total_cost_fen``.
    """

    user_id: UUID
    email: str
    username: str
    full_name: str
    role: Role
    is_active: bool = True
    balance_fen: Fen = 0
    held_fen: Fen = 0
    recharged_fen: Fen = 0
    granted_fen: Fen = 0
    total_tasks: int = 0
    total_cost_fen: Fen = 0
    last_task_at: datetime | None = None
    created_at: datetime
    last_login_at: datetime | None = None

    @property
    def available_fen(self) -> Fen:
        """What may be spent."""
        return self.balance_fen - self.held_fen


def _registered(event: Told[UserRegistered]) -> UserRow:
    fact = event.fact
    return UserRow(
        user_id=fact.user_id,
        email=fact.email,
        username=fact.username,
        full_name=fact.full_name,
        role=fact.role,
        created_at=event.recorded_at,
    )


def _logged_in(row: UserRow, event: Told[UserLoggedIn]) -> UserRow:
    return replace(row, last_login_at=event.recorded_at)


def _profile_changed(row: UserRow, event: Told[ProfileChanged]) -> UserRow:
    full_name, username = event.fact.full_name, event.fact.username
    return replace(
        row,
        full_name=row.full_name if full_name is None else full_name,
        username=row.username if username is None else username,
    )


def _role_changed(row: UserRow, event: Told[RoleChanged]) -> UserRow:
    return replace(row, role=event.fact.after)


def _deactivated(row: UserRow, _: Told[UserDeactivated]) -> UserRow:
    return replace(row, is_active=False)


def _reactivated(row: UserRow, _: Told[UserReactivated]) -> UserRow:
    return replace(row, is_active=True)


def _erased(row: UserRow, _: Told[UserErased]) -> UserRow:
    return replace(row, email=ERASED, username=ERASED, full_name=ERASED, is_active=False)


def _recharged(row: UserRow, event: Told[AccountRecharged]) -> UserRow:
    amount = event.fact.amount_fen
    return replace(
        row,
        balance_fen=row.balance_fen + amount,
        recharged_fen=row.recharged_fen + amount,
    )


def _adjusted(row: UserRow, event: Told[BalanceAdjusted]) -> UserRow:
    delta = event.fact.delta_fen
    return replace(
        row, balance_fen=row.balance_fen + delta, granted_fen=row.granted_fen + delta
    )


def _held(row: UserRow, event: Told[HoldPlaced] | Told[HoldExtended]) -> UserRow:
    return replace(row, held_fen=row.held_fen + event.fact.amount_fen)


def _settled(row: UserRow, event: Told[HoldSettled]) -> UserRow:
    charged = event.fact.charged_fen
    return replace(
        row,
        balance_fen=row.balance_fen - charged,
        held_fen=row.held_fen - charged - event.fact.released_fen,
        total_cost_fen=row.total_cost_fen + charged,
    )


def _task_submitted(
    row: UserRow, event: Told[TaskSubmitted] | Told[TaskSubmittedInClear]
) -> UserRow:
    return replace(row, total_tasks=row.total_tasks + 1, last_task_at=event.recorded_at)


_TABLE: Final = Table(
    name="users",
    row=UserRow,
    key=("user_id",),
    folds=(
        first(UserRegistered, _registered),
        on(UserLoggedIn, _logged_in),
        on(ProfileChanged, _profile_changed),
        on(RoleChanged, _role_changed),
        on(UserDeactivated, _deactivated),
        on(UserReactivated, _reactivated),
        on(UserErased, _erased),
        on(AccountRecharged, _recharged),
        on(BalanceAdjusted, _adjusted),
        on(HoldPlaced, _held),
        on(HoldExtended, _held),
        on(HoldSettled, _settled),
        on(TaskSubmitted, _task_submitted),
        on(TaskSubmittedInClear, _task_submitted),
    ),
)


def _by_standing(name: str, amount: Callable[[UserRow], int] | None) -> Tally:
    """A sum over users by role and activity."""
    return Tally(
        name=name,
        of=_TABLE,
        columns=("role", "is_active"),
        group=lambda row: (row.role, row.is_active),
        amount=amount,
    )


USERS: Final = ReadModel(
    name="users",
    ddl=Path(__file__).with_suffix(".sql"),
    tables=(_TABLE,),
    tallies=(
        _by_standing("user_totals", None),
        _by_standing("recharged_totals", lambda row: row.recharged_fen),
        _by_standing("granted_totals", lambda row: row.granted_fen),
        _by_standing("spent_totals", lambda row: row.total_cost_fen),
    ),
)

BY_ID: Final = """
    SELECT to_json(the_user)::text FROM read.users AS the_user WHERE user_id = %(user_id)s
"""

BY_IDS: Final = """
    SELECT to_json(the_user)::text FROM read.users AS the_user
    WHERE user_id = ANY(%(user_ids)s)
"""

STATISTICS: Final = """
    SELECT json_build_object(
        'total_tasks', the_user.total_tasks,
        'completed_tasks', coalesce(counted.completed, 0),
        'failed_tasks', coalesce(counted.failed, 0),
        'cancelled_tasks', coalesce(counted.cancelled, 0),
        'total_cost_fen', the_user.total_cost_fen,
        'balance_fen', the_user.balance_fen,
        'last_task_at', the_user.last_task_at
    )::text
    FROM read.users AS the_user,
    LATERAL (
        SELECT
            sum(n) FILTER (WHERE status = 'completed') AS completed,
            sum(n) FILTER (WHERE status = 'failed') AS failed,
            sum(n) FILTER (WHERE status = 'cancelled') AS cancelled
        FROM read.task_counts WHERE user_id = the_user.user_id
    ) AS counted
    WHERE the_user.user_id = %(user_id)s
"""


class UserStatistics(Struct, frozen=True, kw_only=True):
    """A user's totals. A task counts by what it is now; deleted tasks count on."""

    total_tasks: int
    completed_tasks: int
    failed_tasks: int
    cancelled_tasks: int
    total_cost_fen: Fen
    balance_fen: Fen
    last_task_at: datetime | None


_ROW: Final = msgspec.json.Decoder(UserRow)


async def user_by_id(connection: AsyncConnection[Any], user_id: UUID) -> UserRow | None:
    """The user as of the connection's snapshot."""
    return await one(connection, UserRow, BY_ID, {"user_id": user_id})


async def users_by_id(
    connection: AsyncConnection[Any], user_ids: Collection[UUID]
) -> dict[UUID, UserRow]:
    """These users, by id; who is not there is not in the answer."""
    cursor = await connection.execute(BY_IDS, {"user_ids": list(user_ids)})
    rows = (_ROW.decode(row[0]) for row in await cursor.fetchall())
    return {row.user_id: row for row in rows}


async def user_statistics(
    connection: AsyncConnection[Any], user_id: UUID
) -> UserStatistics | None:
    """The user's totals."""
    return await one(connection, UserStatistics, STATISTICS, {"user_id": user_id})
