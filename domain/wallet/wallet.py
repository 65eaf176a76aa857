"""The account aggregate: balance, holds and open tasks in one stream.

So "enough balance" and "at most N tasks" are one version check, exact under concurrency.
"""

from __future__ import annotations

from typing import Literal, assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.decider import Decider
from domain.errors import InvalidState, Refused
from domain.money import (
    GRANTED,
    RECHARGED,
    REVENUE,
    Fen,
    Posting,
    available,
    held,
    to_yuan,
    transfer,
)
from domain.wallet.events import (
    AccountRecharged,
    BalanceAdjusted,
    HoldExtended,
    HoldPlaced,
    HoldSettled,
    WalletFact,
)


class InsufficientBalance(Refused):
    """What may be spent is less than the hold needs."""

    code = "INSUFFICIENT_BALANCE"


class TaskLimitExceeded(Refused):
    """The user already has as many open tasks as one may have."""

    code = "TASK_LIMIT_EXCEEDED"


class Wallet(Struct, frozen=True):
    """``available_fen`` may be spent; ``holds`` maps each open task to what is set aside."""

    available_fen: Fen = 0
    holds: dict[UUID, Fen] = {}

    @property
    def held_fen(self) -> Fen:
        """The sum of all holds."""
        return sum(self.holds.values())

    @property
    def balance_fen(self) -> Fen:
        """Money not yet settled, holds included."""
        return self.available_fen + self.held_fen


def evolve(wallet: Wallet, fact: WalletFact) -> Wallet:
    """Fold one fact.

    Raises:
        AssertionError: money would be spent that is not there, or appear from nowhere; the
            stream is corrupt or a decision wrong.
    """
    match fact:
        case AccountRecharged(amount_fen=amount):
            return replace(wallet, available_fen=wallet.available_fen + amount)
        case BalanceAdjusted(delta_fen=delta):
            return replace(wallet, available_fen=wallet.available_fen + delta)
        case (
            HoldPlaced(task_id=task, amount_fen=amount)
            | HoldExtended(task_id=task, amount_fen=amount)
        ):
            assert 0 <= amount <= wallet.available_fen, "a hold beyond what may be spent"
            holds = {**wallet.holds, task: wallet.holds.get(task, 0) + amount}
            return Wallet(wallet.available_fen - amount, holds)
        case HoldSettled(task_id=task, charged_fen=charged, released_fen=released):
            assert charged >= 0 <= released, "a settlement below nothing"
            assert wallet.holds[task] == charged + released, "a settlement unlike its hold"
            holds = {key: amount for key, amount in wallet.holds.items() if key != task}
            return Wallet(wallet.available_fen + released, holds)
        case _:
            assert_never(fact)


WALLET: Decider[Wallet] = Decider("wallet", Wallet(), evolve, WalletFact)


def recharge(
    *, user_id: UUID, amount_fen: Fen, record_id: UUID, code_id: UUID
) -> AccountRecharged:
    """Credit a redeemed code."""
    return AccountRecharged(
        user_id=user_id,
        amount_fen=amount_fen,
        record_id=record_id,
        code_id=code_id,
        postings=transfer(amount_fen, source=RECHARGED, target=available(user_id)),
    )


def adjust(wallet: Wallet, *, user_id: UUID, target_fen: Fen, reason: str) -> BalanceAdjusted:
    """Set the balance to ``target_fen``, holds included.

    Raises:
        InvalidState: less than what is held for open tasks.
    """
    delta = target_fen - wallet.balance_fen
    if wallet.available_fen + delta < 0:
        message = "the balance cannot fall below what is held for open tasks"
        raise InvalidState(message, held=to_yuan(wallet.held_fen))
    return BalanceAdjusted(
        user_id=user_id,
        delta_fen=delta,
        before_fen=wallet.balance_fen,
        after_fen=target_fen,
        reason=reason,
        postings=transfer(delta, source=GRANTED, target=available(user_id)),
    )


def hold(
    wallet: Wallet, *, user_id: UUID, task_id: UUID, attempt: int, amount_fen: Fen, limit: int
) -> HoldPlaced:
    """Open a task: check the limit, then set money aside (nothing, where it is free).

    Raises:
        TaskLimitExceeded: ``limit`` tasks are open already.
        InsufficientBalance: ``amount_fen`` is more than may be spent.
    """
    assert task_id not in wallet.holds, "the task is open already"
    if len(wallet.holds) >= limit:
        raise TaskLimitExceeded(limit=limit, active=len(wallet.holds))
    if amount_fen > wallet.available_fen:
        raise InsufficientBalance(
            required=to_yuan(amount_fen), available=to_yuan(wallet.available_fen)
        )
    return HoldPlaced(
        user_id=user_id,
        task_id=task_id,
        attempt=attempt,
        amount_fen=amount_fen,
        postings=transfer(amount_fen, source=available(user_id), target=held(user_id)),
    )


def extend(
    wallet: Wallet, *, user_id: UUID, task_id: UUID, attempt: int, amount_fen: Fen
) -> HoldExtended:
    """Set more aside for an open task.

    Raises:
        InvalidState: the task holds nothing (it has ended).
        InsufficientBalance: ``amount_fen`` is more than may be spent.
    """
    if task_id not in wallet.holds:
        message = "the task is not open"
        raise InvalidState(message)
    if amount_fen > wallet.available_fen:
        raise InsufficientBalance(
            required=to_yuan(amount_fen), available=to_yuan(wallet.available_fen)
        )
    return HoldExtended(
        user_id=user_id,
        task_id=task_id,
        attempt=attempt,
        amount_fen=amount_fen,
        postings=transfer(amount_fen, source=available(user_id), target=held(user_id)),
    )


def settle(
    wallet: Wallet,
    *,
    user_id: UUID,
    task_id: UUID,
    attempt: int,
    price_fen: Fen,
    outcome: Literal["completed", "failed", "cancelled"],
) -> HoldSettled:
    """Close a task: charge at most what is held, give the rest back."""
    assert task_id in wallet.holds, "the task is not open: it was settled before"
    amount = wallet.holds[task_id]
    charged = min(price_fen, amount)
    moves = [
        Posting(held(user_id), -amount),
        Posting(REVENUE, charged),
        Posting(available(user_id), amount - charged),
    ]
    return HoldSettled(
        user_id=user_id,
        task_id=task_id,
        attempt=attempt,
        charged_fen=charged,
        released_fen=amount - charged,
        outcome=outcome,
        postings=tuple(move for move in moves if move.amount_fen),
    )
