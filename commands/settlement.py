"""Ending a task: its last fact and the settlement of its hold, in one commit.

Law: nothing else appends a fact that ends a task, so no task ends without its hold being
settled, and none is settled twice.
"""

from __future__ import annotations

from typing import Literal, assert_never

from domain.ids import account_stream
from domain.ports import Loaded, UnitOfWork
from domain.tasks.ending import Ending
from domain.tasks.events import TaskCancelled, TaskCompleted, TaskFailed
from domain.tasks.task import Task
from domain.wallet.wallet import WALLET, Wallet, settle


def wallet_of(task: Task, work: UnitOfWork) -> Loaded[Wallet]:
    """The account of the task's owner."""
    return work.load(WALLET, account_stream(task.user_id))


def end_task(task: Loaded[Task | None], ending: Ending, work: UnitOfWork) -> None:
    """Append what ended the task, charge for it and give the rest of the hold back."""
    assert task.state is not None, "only a task that was submitted can end"
    wallet = wallet_of(task.state, work)
    task.append(ending)
    wallet.append(
        settle(
            wallet.state,
            user_id=ending.user_id,
            task_id=ending.task_id,
            attempt=ending.attempt,
            price_fen=ending.cost_fen,
            outcome=_outcome(ending),
        )
    )


def _outcome(ending: Ending) -> Literal["completed", "failed", "cancelled"]:
    match ending:
        case TaskCompleted():
            return "completed"
        case TaskFailed():
            return "failed"
        case TaskCancelled():
            return "cancelled"
        case _:
            assert_never(ending)
