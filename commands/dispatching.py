"""Commands of the platform's own loops about attempts: assign, lose, end overdue, extend.

Each was decided from a view of the log that may be old by now, so each names the attempt it
means and answers whether it still applied.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias, assert_never
from uuid import UUID

from msgspec import Struct

from commands.settlement import end_task, wallet_of
from domain.fleet.server import SERVER, Server
from domain.ids import CONFIGURATION_STREAM
from domain.ports import UnitOfWork
from domain.source_url import wants_files
from domain.system.configuration import CONFIGURATION
from domain.tasks.ending import lose, overdue, overran
from domain.tasks.events import Reason, TaskRequeued
from domain.tasks.fencing import is_current
from domain.tasks.metering import Enough, Exhausted, Extend, review
from domain.tasks.running import assign
from domain.tasks.submission import cancel
from domain.tasks.task import TASK, Task
from domain.wallet.wallet import extend


class Applied(Struct, frozen=True):
    """``done`` is false when the command did not apply any more, and nothing was appended."""

    done: bool


class AssignTask(Struct, frozen=True, kw_only=True):
    """Give a waiting attempt to a server; ``why`` keeps the scheduler's reasons."""

    task_id: UUID
    attempt: int
    server_id: UUID
    gpu_uuids: tuple[str, ...] = ()
    why: dict[str, Any] = {}
    at: datetime

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.task_id, self.server_id)


def assign_task(command: AssignTask, work: UnitOfWork) -> Applied:
    """Assign; not where the attempt no longer waits, or the server takes no work now."""
    task = work.load(TASK, command.task_id)
    server = work.load(SERVER, command.server_id)
    if not _takes(server.state, command.gpu_uuids) or _lacks_files(server.state, task.state):
        return Applied(done=False)
    assigned = assign(
        task.state,
        attempt=command.attempt,
        server_id=command.server_id,
        gpu_uuids=command.gpu_uuids,
        why=command.why,
        now=command.at,
    )
    if assigned is None:
        return Applied(done=False)
    task.append(assigned)
    return Applied(done=True)


def _takes(server: Server | None, gpu_uuids: tuple[str, ...]) -> bool:
    return server is not None and server.takes_work and server.failed_gpus.isdisjoint(gpu_uuids)


def _lacks_files(server: Server | None, task: Task | None) -> bool:
    if server is None or task is None:
        return True
    return wants_files(task.config) and not server.serves_files


class LoseAttempt(Struct, frozen=True, kw_only=True):
    """The attempt is gone through the platform's fault.

    ``counted`` is false when it never began: the server declined, or did not start in time.
    """

    task_id: UUID
    attempt: int
    server_id: UUID
    reason: Reason
    counted: bool
    at: datetime

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (CONFIGURATION_STREAM, self.task_id)


def lose_attempt(command: LoseAttempt, work: UnitOfWork) -> Applied:
    """Requeue the task for free; or end it, when too often lost or being cancelled.

    Not where the attempt was over already, or began after all.
    """
    task = work.load(TASK, command.task_id)
    state = task.state
    if state is None or not is_current(
        state, attempt=command.attempt, server_id=command.server_id
    ):
        return Applied(done=False)
    if not command.counted and state.started_at is not None:
        return Applied(done=False)
    outcome = lose(
        state,
        reason=command.reason,
        counted=command.counted,
        budget=work.load(CONFIGURATION, CONFIGURATION_STREAM).state.requeue_budget,
        now=command.at,
    )
    if isinstance(outcome, TaskRequeued):
        task.append(outcome)
    else:
        end_task(task, outcome, work)
    return Applied(done=True)


class EndOverdueCancel(Struct, frozen=True, kw_only=True):
    """The agent did not confirm a cancellation in time."""

    task_id: UUID
    attempt: int
    at: datetime

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.task_id,)


def end_overdue_cancel(command: EndOverdueCancel, work: UnitOfWork) -> Applied:
    """End the task without its agent; it pays for what it ran until the wish to stop.

    Not where the attempt was over, or is not being cancelled any more.
    """
    task = work.load(TASK, command.task_id)
    state = task.state
    if state is None or state.phase != "cancelling" or state.attempt != command.attempt:
        return Applied(done=False)
    limit_fen = wallet_of(state, work).state.holds[state.task_id]
    end_task(task, overdue(state, now=command.at, limit_fen=limit_fen), work)
    return Applied(done=True)


class EndOverrun(Struct, frozen=True, kw_only=True):
    """The agent runs an attempt on, long after its timeout."""

    task_id: UUID
    attempt: int
    server_id: UUID
    at: datetime

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.task_id,)


def end_overrun(command: EndOverrun, work: UnitOfWork) -> Applied:
    """End the task without its agent, unless it is over; it pays until its timeout at most.

    The server is told to stop with its next heartbeat, and gets no other work in that place
    while it says that the attempt still runs (``commands.board``).
    """
    task = work.load(TASK, command.task_id)
    state = task.state
    if (
        state is None
        or state.phase != "running"
        or not is_current(state, attempt=command.attempt, server_id=command.server_id)
    ):
        return Applied(done=False)
    limit_fen = wallet_of(state, work).state.holds[state.task_id]
    end_task(task, overran(state, now=command.at, limit_fen=limit_fen), work)
    return Applied(done=True)


class ExtendHold(Struct, frozen=True, kw_only=True):
    """See to it that what is held for a running task lasts; may be asked at any time."""

    task_id: UUID
    attempt: int
    at: datetime

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (CONFIGURATION_STREAM, self.task_id)


HoldVerdict: TypeAlias = Literal["enough", "extended", "stopping", "not_running"]


class HoldReviewed(Struct, frozen=True):
    """``enough``: nothing to do now. ``stopping``: the money is used up."""

    verdict: HoldVerdict


def extend_hold(command: ExtendHold, work: UnitOfWork) -> HoldReviewed:
    """Set more aside before the hold is used up; ask the agent to stop when it cannot be."""
    task = work.load(TASK, command.task_id)
    state = task.state
    if state is None or state.phase != "running" or state.attempt != command.attempt:
        return HoldReviewed("not_running")
    wallet = wallet_of(state, work)
    configuration = work.load(CONFIGURATION, CONFIGURATION_STREAM).state
    reviewed = review(
        state,
        held_fen=wallet.state.holds[state.task_id],
        available_fen=wallet.state.available_fen,
        extension_min=configuration.hold_extension_min,
        now=command.at,
    )
    match reviewed:
        case Enough():
            return HoldReviewed("enough")
        case Extend(amount_fen=amount):
            wallet.append(
                extend(
                    wallet.state,
                    user_id=state.user_id,
                    task_id=state.task_id,
                    attempt=state.attempt,
                    amount_fen=amount,
                )
            )
            return HoldReviewed("extended")
        case Exhausted():
            stop = cancel(state, reason="balance_exhausted", now=command.at)
            assert stop is not None, "a running task can be stopped"
            task.append(stop)
            return HoldReviewed("stopping")
        case _:
            assert_never(reviewed)
