"""What breaks a rule of the refold, and what the postings of a fact must be."""

from __future__ import annotations

from typing import Literal, TypeAlias

from domain.money import GRANTED, RECHARGED, Postings, available, held, transfer
from domain.wallet.events import (
    AccountRecharged,
    BalanceAdjusted,
    HoldExtended,
    HoldPlaced,
    HoldSettled,
    WalletFact,
)
from domain.wallet.wallet import Wallet, settle

Check: TypeAlias = Literal["ORDER", "FOLD", "I1", "I2", "I3", "I4", "I5", "I6"]


class Broken(Exception):
    """A fact breaks a rule."""

    def __init__(self, check: Check, message: str) -> None:
        super().__init__(message)
        self.check = check


def require(holds: bool, check: Check, message: str) -> None:  # noqa: FBT001
    """Raise ``Broken`` unless the rule holds."""
    if not holds:
        raise Broken(check, message)


def expected_postings(wallet: Wallet, fact: WalletFact) -> Postings:
    """The postings that the sums of the fact ask for."""
    user = fact.user_id
    match fact:
        case AccountRecharged(amount_fen=amount):
            return transfer(amount, source=RECHARGED, target=available(user))
        case BalanceAdjusted(delta_fen=delta):
            return transfer(delta, source=GRANTED, target=available(user))
        case HoldPlaced(amount_fen=amount) | HoldExtended(amount_fen=amount):
            return transfer(amount, source=available(user), target=held(user))
        case HoldSettled(task_id=task, charged_fen=charged):
            require(task in wallet.holds, "I5", "nothing is held for the task")
            return settle(
                wallet,
                user_id=user,
                task_id=task,
                attempt=fact.attempt,
                price_fen=charged,
                outcome=fact.outcome,
            ).postings
