"""Commands of users about their tasks: submit, cancel, run again, delete."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from commands.settlement import end_task, wallet_of
from domain.errors import NotFound, Unavailable
from domain.ids import CONFIGURATION_STREAM, account_stream
from domain.money import Fen
from domain.ports import Loaded, UnitOfWork
from domain.system.configuration import CONFIGURATION, Configuration
from domain.tasks import submission
from domain.tasks.events import Reason, TaskCancelled
from domain.tasks.lifecycle import Phase
from domain.tasks.submission import TaskOrder
from domain.tasks.task import TASK, Task, existing
from domain.wallet.wallet import WALLET, hold


class SubmitTask(Struct, frozen=True, kw_only=True):
    """Ask for work."""

    task_id: UUID
    user_id: UUID
    order: TaskOrder
    is_admin: bool
    at: datetime

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (CONFIGURATION_STREAM, account_stream(self.user_id))


class Queued(Struct, frozen=True):
    """An attempt waits for a server, with this much set aside for it."""

    task_id: UUID
    attempt: int
    price_fen_per_minute: Fen
    hold_fen: Fen
    timeout_s: int


def submit_task(command: SubmitTask, work: UnitOfWork) -> Queued:
    """Accept an order and set its price aside: both streams, or neither.

    The order of the checks is the contract's.

    Raises:
        Unavailable: maintenance, and the user is no admin.
        InvalidInput: the farm does not run this type.
        TaskLimitExceeded: the user has as many open tasks as one may have.
        InsufficientBalance: the user cannot pay the hold.
    """
    configuration = work.load(CONFIGURATION, CONFIGURATION_STREAM).state
    _open_for(configuration, is_admin=command.is_admin)
    submitted = submission.submit(
        command.order,
        task_id=command.task_id,
        user_id=command.user_id,
        configuration=configuration,
    )
    wallet = work.load(WALLET, account_stream(command.user_id))
    held = hold(
        wallet.state,
        user_id=command.user_id,
        task_id=command.task_id,
        attempt=1,
        amount_fen=submitted.hold_fen,
        limit=configuration.max_concurrent_tasks_per_user,
    )
    work.create(TASK, command.task_id).append(submitted)
    wallet.append(held)
    return Queued(
        command.task_id,
        attempt=1,
        price_fen_per_minute=submitted.price_fen_per_minute,
        hold_fen=submitted.hold_fen,
        timeout_s=submitted.timeout_s,
    )


class CancelTask(Struct, frozen=True, kw_only=True):
    """Stop a task; an admin may stop anybody's."""

    task_id: UUID
    user_id: UUID
    is_admin: bool
    at: datetime

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.task_id,)


class TaskNow(Struct, frozen=True):
    """Where the task stands after the command."""

    task_id: UUID
    attempt: int
    phase: Phase


def cancel_task(command: CancelTask, work: UnitOfWork) -> TaskNow:
    """Stop a task: at once when it waits, else as soon as its agent confirms.

    Raises:
        NotFound: no such task, or it is somebody else's.
        InvalidState: it completed or failed before.
    """
    task = work.load(TASK, command.task_id)
    state = _visible(task, user_id=command.user_id, is_admin=command.is_admin)
    _cancel(task, state, _wish(command.user_id, state), command.at, work)
    return _now(task)


class RetryTask(Struct, frozen=True, kw_only=True):
    """Run a failed or cancelled task again."""

    task_id: UUID
    user_id: UUID
    is_admin: bool
    at: datetime

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (CONFIGURATION_STREAM, self.task_id)


def retry_task(command: RetryTask, work: UnitOfWork) -> Queued:
    """Run an ended task again, at today's price and with a new hold of its owner's money.

    Raises:
        Unavailable: maintenance, and the user is no admin.
        NotFound: no such task, or it is somebody else's.
        InvalidState: it has neither failed nor been cancelled, or its type is gone.
        TaskLimitExceeded: the owner has as many open tasks as one may have.
        InsufficientBalance: the owner cannot pay the hold.
    """
    configuration = work.load(CONFIGURATION, CONFIGURATION_STREAM).state
    _open_for(configuration, is_admin=command.is_admin)
    task = work.load(TASK, command.task_id)
    state = _visible(task, user_id=command.user_id, is_admin=command.is_admin)
    retried = submission.retry(state, configuration=configuration)
    wallet = wallet_of(state, work)
    held = hold(
        wallet.state,
        user_id=state.user_id,
        task_id=state.task_id,
        attempt=retried.attempt,
        amount_fen=retried.hold_fen,
        limit=configuration.max_concurrent_tasks_per_user,
    )
    task.append(retried)
    wallet.append(held)
    return Queued(
        command.task_id,
        attempt=retried.attempt,
        price_fen_per_minute=retried.price_fen_per_minute,
        hold_fen=retried.hold_fen,
        timeout_s=retried.timeout_s,
    )


class DeleteTask(Struct, frozen=True, kw_only=True):
    """Hide a task from its user for ever."""

    task_id: UUID
    user_id: UUID
    is_admin: bool
    at: datetime

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.task_id,)


def delete_task(command: DeleteTask, work: UnitOfWork) -> TaskNow:
    """Hide a task; one that has not begun is taken from its server and cancelled first.

    Raises:
        NotFound: no such task, or it is somebody else's.
        InvalidState: it runs.
    """
    task = work.load(TASK, command.task_id)
    state = _visible(task, user_id=command.user_id, is_admin=command.is_admin)
    wish = _wish(command.user_id, state)
    if state.phase == "assigned":
        task.append(submission.withdraw(state, reason=wish))
    waiting = existing(task.state)
    if waiting.phase == "pending":
        _cancel(task, waiting, wish, command.at, work)
    task.append(submission.delete(existing(task.state)))
    return _now(task)


def _open_for(configuration: Configuration, *, is_admin: bool) -> None:
    if configuration.maintenance_mode and not is_admin:
        raise Unavailable


def _visible(task: Loaded[Task | None], *, user_id: UUID, is_admin: bool) -> Task:
    state = existing(task.state)
    if state.user_id != user_id and not is_admin:
        raise NotFound
    return state


def _wish(user_id: UUID, task: Task) -> Reason:
    return "cancelled_by_user" if task.user_id == user_id else "cancelled_by_admin"


def _cancel(
    task: Loaded[Task | None], state: Task, reason: Reason, at: datetime, work: UnitOfWork
) -> None:
    fact = submission.cancel(state, reason=reason, now=at)
    if isinstance(fact, TaskCancelled):
        end_task(task, fact, work)
    elif fact is not None:
        task.append(fact)


def _now(task: Loaded[Task | None]) -> TaskNow:
    assert task.state is not None, "the task was there when the command began"
    return TaskNow(task.state.task_id, task.state.attempt, task.state.phase)
