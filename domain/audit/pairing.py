"""Facts of two streams that one command must record together, or neither.

A code redeemed and an account credited; a task opened and money held; a task ended and its hold
settled. Each half waits here for its other half until its command ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias
from uuid import UUID

from domain.money import Fen
from domain.recharge.events import CodeRedeemed
from domain.tasks.events import TaskCancelled, TaskCompleted, TaskFailed
from domain.wallet.events import AccountRecharged, HoldPlaced, HoldSettled

Terms: TypeAlias = tuple[object, ...]
Key: TypeAlias = tuple[str, str, UUID]
"""The check that the pair belongs to, what the pair is, and about which record or task."""


class Pairing:
    """Halves that wait: what both must say alike, and how many times which half said it."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[Key, Terms], int] = {}

    def redeemed(self, fact: CodeRedeemed) -> None:
        """The code's half of a redemption."""
        terms = (fact.user_id, fact.code_id, fact.amount_fen)
        self._meet(("I3", "redemption", fact.record_id), terms, 1)

    def credited(self, fact: AccountRecharged) -> None:
        """The account's half of a redemption."""
        terms = (fact.user_id, fact.code_id, fact.amount_fen)
        self._meet(("I3", "redemption", fact.record_id), terms, -1)

    def opened(self, task_id: UUID, attempt: int, user_id: UUID, hold_fen: Fen) -> None:
        """The task's half of its opening."""
        self._meet(("I2", "opening of task", task_id), (attempt, user_id, hold_fen), 1)

    def held(self, fact: HoldPlaced) -> None:
        """The account's half of a task's opening."""
        terms = (fact.attempt, fact.user_id, fact.amount_fen)
        self._meet(("I2", "opening of task", fact.task_id), terms, -1)

    def ended(self, fact: TaskCompleted | TaskFailed | TaskCancelled) -> None:
        """The task's half of its ending."""
        match fact:
            case TaskCompleted():
                outcome = "completed"
            case TaskFailed():
                outcome = "failed"
            case TaskCancelled():
                outcome = "cancelled"
        terms = (fact.attempt, fact.user_id, fact.cost_fen, outcome)
        self._meet(("I5", "ending of task", fact.task_id), terms, 1)

    def settled(self, fact: HoldSettled) -> None:
        """The account's half of a task's ending."""
        terms = (fact.attempt, fact.user_id, fact.charged_fen, fact.outcome)
        self._meet(("I5", "ending of task", fact.task_id), terms, -1)

    def unpaired(self) -> Iterator[tuple[str, str]]:
        """The check and the words for each half that is alone, which is then forgotten."""
        waiting, self._waiting = self._waiting, {}
        for ((check, what, about), _), count in waiting.items():
            side = "account's" if count > 0 else "other"
            yield check, f"the {what} {about} lacks its {side} half"

    def _meet(self, key: Key, terms: Terms, count: int) -> None:
        sum_ = self._waiting.pop((key, terms), 0) + count
        if sum_:
            self._waiting[key, terms] = sum_
