"""Commands of agents about the attempts they run: began, advanced, ended.

Reports come at least once, late and out of order. Each is answered, whatever it says, so that
an agent can let go of it; only a report of the current attempt moves the task.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

from msgspec import Struct

from commands.settlement import end_task, wallet_of
from domain.facts import Fact
from domain.ids import CONFIGURATION_STREAM
from domain.ports import Loaded, UnitOfWork
from domain.system.configuration import CONFIGURATION
from domain.tasks.ending import Concluded, conclude
from domain.tasks.events import Artifact, Reason, TaskRequeued
from domain.tasks.fencing import Report, judge, refuse_stale
from domain.tasks.running import progress, start, start_unseen
from domain.tasks.task import TASK, Outcome, Task

Verdict: TypeAlias = Literal["recorded", "already", "stale", "unknown"]


class Reported(Struct, frozen=True):
    """What became of a report.

    ``recorded``: it counts. ``already``: the platform knew. ``stale``: the attempt is not that
    server's any more. ``unknown``: there is no such task.
    """

    verdict: Verdict


class RecordBegan(Struct, frozen=True, kw_only=True):
    """The attempt's process runs."""

    task_id: UUID
    attempt: int
    server_id: UUID
    at: datetime

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.task_id,)


def record_began(command: RecordBegan, work: UnitOfWork) -> Reported:
    """The task runs, from now on by the platform's clock."""
    task = work.load(TASK, command.task_id)
    state = task.state
    if state is None:
        return Reported("unknown")
    if refused := _fenced(task, state, command.attempt, command.server_id, "began"):
        return refused
    return _append(task, *start(state, now=command.at))


class RecordAdvanced(Struct, frozen=True, kw_only=True):
    """How far the attempt is, 0-100."""

    task_id: UUID
    attempt: int
    server_id: UUID
    progress: float
    note: str
    at: datetime

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.task_id,)


def record_advanced(command: RecordAdvanced, work: UnitOfWork) -> Reported:
    """Note progress; an attempt that advances has begun."""
    task = work.load(TASK, command.task_id)
    state = task.state
    if state is None:
        return Reported("unknown")
    if refused := _fenced(task, state, command.attempt, command.server_id, "advanced"):
        return refused
    return _append(
        task,
        *start(state, now=command.at),
        *progress(state, percent=command.progress, note=command.note),
    )


class RecordEnded(Struct, frozen=True, kw_only=True):
    """The attempt is over and its process dead; ``run_ms`` by the agent's monotonic clock."""

    task_id: UUID
    attempt: int
    server_id: UUID
    outcome: Outcome
    run_ms: int
    reason: Reason | None = None
    error_message: str = ""
    result: dict[str, Any] = {}
    artifacts: tuple[Artifact, ...] = ()
    at: datetime

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (CONFIGURATION_STREAM, self.task_id)


def record_ended(command: RecordEnded, work: UnitOfWork) -> Reported:
    """End the attempt: the task ends and its hold is settled, or it waits again."""
    task = work.load(TASK, command.task_id)
    state = task.state
    if state is None:
        return Reported("unknown")
    if refused := _fenced(task, state, command.attempt, command.server_id, command.outcome):
        return refused
    if command.outcome == "completed" or (command.outcome != "refused" and command.run_ms > 0):
        task.append(*start_unseen(state, run_ms=command.run_ms, now=command.at))
    _conclude(task, command, work)
    return Reported("recorded")


def _conclude(task: Loaded[Task | None], command: RecordEnded, work: UnitOfWork) -> None:
    state = task.state
    assert state is not None, "the task was there when the command began"
    configuration = work.load(CONFIGURATION, CONFIGURATION_STREAM).state
    said = Concluded(
        outcome=command.outcome,
        run_ms=command.run_ms,
        reason=command.reason,
        error_message=command.error_message,
        result=command.result,
        artifacts=command.artifacts,
    )
    concluded = conclude(
        state,
        said,
        budget=configuration.requeue_budget,
        limit_fen=wallet_of(state, work).state.holds[state.task_id],
        now=command.at,
    )
    if isinstance(concluded, TaskRequeued):
        task.append(concluded)
    else:
        end_task(task, concluded, work)


def _fenced(
    task: Loaded[Task | None], state: Task, attempt: int, server_id: UUID, report: Report
) -> Reported | None:
    """The answer to a report that does not count, ``None`` when it does."""
    verdict = judge(state, attempt=attempt, server_id=server_id, report=report)
    if verdict == "current":
        return None
    if verdict == "stale":
        task.append(*refuse_stale(state, attempt=attempt, server_id=server_id, report=report))
    return Reported(verdict)


def _append(task: Loaded[Task | None], *facts: Fact) -> Reported:
    task.append(*facts)
    return Reported("recorded" if facts else "already")
