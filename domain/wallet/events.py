"""Facts about a user's money. Every one carries its postings, which sum to zero."""

from __future__ import annotations

from typing import Literal, TypeAlias
from uuid import UUID

from domain.facts import Fact
from domain.money import Fen, Postings


class AccountRecharged(Fact, frozen=True, tag="wallet.account_recharged/1", kw_only=True):
    """A recharge code was credited."""

    user_id: UUID
    amount_fen: Fen
    record_id: UUID
    code_id: UUID
    postings: Postings


class BalanceAdjusted(Fact, frozen=True, tag="wallet.balance_adjusted/1", kw_only=True):
    """An operator set the balance; recorded as the difference it made."""

    user_id: UUID
    delta_fen: Fen
    before_fen: Fen
    after_fen: Fen
    reason: str
    postings: Postings


class HoldPlaced(Fact, frozen=True, tag="wallet.hold_placed/1", kw_only=True):
    """Money was set aside for an attempt of a task; the task now counts as open."""

    user_id: UUID
    task_id: UUID
    attempt: int
    amount_fen: Fen
    postings: Postings


class HoldExtended(Fact, frozen=True, tag="wallet.hold_extended/1", kw_only=True):
    """More was set aside for a task that runs longer than estimated."""

    user_id: UUID
    task_id: UUID
    attempt: int
    amount_fen: Fen
    postings: Postings


class HoldSettled(Fact, frozen=True, tag="wallet.hold_settled/1", kw_only=True):
    """An attempt ended: ``charged_fen`` was earned, the rest given back; the task is closed."""

    user_id: UUID
    task_id: UUID
    attempt: int
    charged_fen: Fen
    released_fen: Fen
    outcome: Literal["completed", "failed", "cancelled"]
    postings: Postings


WalletFact: TypeAlias = (
    AccountRecharged | BalanceAdjusted | HoldPlaced | HoldExtended | HoldSettled
)
