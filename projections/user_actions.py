"""User actions: what people did, and what operators did to people's accounts.

Only what a person caused: what agents report and loops decide is in the logs of tasks. Kept is
where in the log each action is; what it was is read there, and names are looked up, when a page
is read. Who read this very list is not in it: each page would push the rows of the next one
down. The log has it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from domain.accounts.events import (
    PasswordChanged,
    ProfileChanged,
    RoleChanged,
    UserDeactivated,
    UserErased,
    UserLoggedIn,
    UserReactivated,
    UserRegistered,
)
from domain.envelope import Told
from domain.facts import Fact
from domain.fleet.events import (
    EnrolmentTokenIssued,
    ServerChanged,
    ServerDrained,
    ServerRegistered,
    ServerRemoved,
    ServerResumed,
)
from domain.recharge.events import CodeIssued, CodeRedeemed, CodeRevealed, CodeRevoked
from domain.system.accesses import (
    AuditAccessed,
    AuditTailEnded,
    LoginRefused,
    LogRead,
    PersonReported,
)
from domain.system.events import ConfigurationChanged, ReadModelSwitched
from domain.system.log_keys import LogKeyRotated
from domain.tasks.events import (
    TaskCancelled,
    TaskCancelRequested,
    TaskDeleted,
    TaskRetried,
    TaskSubmitted,
    TaskSubmittedInClear,
)
from domain.wallet.events import BalanceAdjusted
from projections.read_model import ReadModel, Table, Tally, first

NOBODY: Final = UUID(int=0)
"""In the place of a user where there is none."""

ACTIONS: Final[tuple[type[Fact], ...]] = (
    UserRegistered,
    UserLoggedIn,
    ProfileChanged,
    PasswordChanged,
    RoleChanged,
    UserDeactivated,
    UserReactivated,
    UserErased,
    BalanceAdjusted,
    CodeIssued,
    CodeRedeemed,
    CodeRevealed,
    CodeRevoked,
    TaskSubmitted,
    TaskSubmittedInClear,
    TaskCancelRequested,
    TaskCancelled,
    TaskRetried,
    TaskDeleted,
    ServerRegistered,
    EnrolmentTokenIssued,
    ServerChanged,
    ServerDrained,
    ServerResumed,
    ServerRemoved,
    ConfigurationChanged,
    ReadModelSwitched,
    LogKeyRotated,
    AuditAccessed,
    AuditTailEnded,
    LogRead,
    PersonReported,
    LoginRefused,
)
_BY_STRANGERS: Final = frozenset({LoginRefused})
"""What people do of whom nothing is known."""
_PEOPLE: Final = frozenset({"user", "admin"})
_OPERATOR: Final = "system"


class UserActionRow(Struct, frozen=True, kw_only=True, gc=False):
    """That the event at ``position`` is an action, and whose.

    ``subject_id`` is whom an operator's action was about; ``NOBODY`` where that is nobody, or
    the actor.
    """

    position: int
    actor_id: UUID
    subject_id: UUID
    recorded_at: datetime


def _noted(event: Told[Any]) -> UserActionRow | None:
    kind, _, name = event.actor.partition(":")
    fact = event.fact
    known = kind in _PEOPLE or kind == _OPERATOR
    if not known and type(fact) not in _BY_STRANGERS:
        return None
    if isinstance(fact, LogRead) and fact.is_of_actions:
        return None
    actor_id = _id_in(name) if kind in _PEOPLE else NOBODY
    user_id = getattr(fact, "user_id", None) or NOBODY
    return UserActionRow(
        position=event.position,
        actor_id=actor_id,
        subject_id=NOBODY if user_id == actor_id else user_id,
        recorded_at=event.recorded_at,
    )


@lru_cache(4_096)
def _id_in(name: str) -> UUID:
    try:
        return UUID(name)
    except ValueError:  # an actor that was named otherwise is no reason to stop
        return NOBODY


def _day_of(row: UserActionRow) -> date:
    at = row.recorded_at
    return at.date() if at.tzinfo is UTC else at.astimezone(UTC).date()


_TABLE: Final = Table(
    name="user_actions",
    row=UserActionRow,
    key=("position",),
    folds=tuple(first(fact, _noted) for fact in ACTIONS),
)
USER_ACTIONS: Final = ReadModel(
    name="user_actions",
    ddl=Path(__file__).with_suffix(".sql"),
    tables=(_TABLE,),
    tallies=(
        Tally(
            name="action_counts",
            of=_TABLE,
            columns=("day",),
            group=lambda row: (_day_of(row),),
        ),
        Tally(
            name="actor_action_counts",
            of=_TABLE,
            columns=("actor_id", "day"),
            group=lambda row: (row.actor_id.int, _day_of(row)),
        ),
        Tally(
            name="actor_action_totals",
            of=_TABLE,
            columns=("actor_id",),
            group=lambda row: (row.actor_id.int,),
        ),
        Tally(
            name="subject_action_counts",
            of=_TABLE,
            columns=("subject_id", "day"),
            group=lambda row: (row.subject_id.int, _day_of(row)),
            amount=lambda row: int(row.subject_id != NOBODY),
        ),
    ),
)
