"""Facts of two streams that one command must record together, or neither.

A code redeemed and an account credited; a task opened and money held; a task ended and its hold
settled. Each half waits here for its other half until its command ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias
from uuid import UUID

from domain.money import Fen
from domain.recharge.events import CodeRedeemed
from domain.tasks.events import TaskCancelled, TaskCompleted, TaskFailed
from domain.wallet.events import AccountRecharged, HoldPlaced, HoldSettled

Said: TypeAlias = tuple[str, str, int, int, object, object, object]
"""The check that a pair belongs to, what the pair is, about which record or task, of which
user, and what else both halves must say alike. Ids are numbers: those compare much faster."""


class Pairing:
    """Halves that wait: what both must say alike, and how many times which half said it."""

    def __init__(self) -> None:
        self.waiting: dict[Said, int] = {}

    def redeemed(self, fact: CodeRedeemed) -> None:
        """The code's half of a redemption."""
        about, user = fact.record_id.int, fact.user_id.int
        self._meet(("I3", "redemption", about, user, fact.code_id, fact.amount_fen, ""), 1)

    def credited(self, fact: AccountRecharged) -> None:
        """The account's half of a redemption."""
        about, user = fact.record_id.int, fact.user_id.int
        self._meet(("I3", "redemption", about, user, fact.code_id, fact.amount_fen, ""), -1)

    def opened(self, task_id: UUID, attempt: int, user_id: UUID, hold_fen: Fen) -> None:
        """The task's half of its opening."""
        self._meet(
            ("I2", "opening of task", task_id.int, user_id.int, attempt, hold_fen, ""), 1
        )

    def held(self, fact: HoldPlaced) -> None:
        """The account's half of a task's opening."""
        about, user, amount = fact.task_id.int, fact.user_id.int, fact.amount_fen
        self._meet(("I2", "opening of task", about, user, fact.attempt, amount, ""), -1)

    def ended(self, fact: TaskCompleted | TaskFailed | TaskCancelled) -> None:
        """The task's half of its ending."""
        about, user, outcome = fact.task_id.int, fact.user_id.int, _OUTCOMES[type(fact)]
        self._meet(
            ("I5", "ending of task", about, user, fact.attempt, fact.cost_fen, outcome), 1
        )

    def settled(self, fact: HoldSettled) -> None:
        """The account's half of a task's ending."""
        about, user, cost = fact.task_id.int, fact.user_id.int, fact.charged_fen
        said: Said = ("I5", "ending of task", about, user, fact.attempt, cost, fact.outcome)
        self._meet(said, -1)

    def unpaired(self) -> Iterator[tuple[str, str]]:
        """The check and the words for each half that is alone, which is then forgotten."""
        waiting, self.waiting = self.waiting, {}
        for (check, what, about, *_), count in waiting.items():
            side = "account's" if count > 0 else "other"
            yield check, f"the {what} {UUID(int=about)} lacks its {side} half"

    def _meet(self, said: Said, count: int) -> None:
        sum_ = self.waiting.pop(said, 0) + count
        if sum_:
            self.waiting[said] = sum_


_OUTCOMES: Final = {
    TaskCompleted: "completed",
    TaskFailed: "failed",
    TaskCancelled: "cancelled",
}
