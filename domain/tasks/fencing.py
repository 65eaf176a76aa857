"""Fencing: which reports of agents count.

A report counts when it names the attempt that its server really has. One that the platform has
already recorded changes nothing; any other is answered by ``StaleReportRefused`` and moves
nothing either, so a zombie can neither end a task nor charge for it.
"""

from __future__ import annotations

from typing import Literal, TypeAlias
from uuid import UUID

from domain.tasks.events import StaleReportRefused
from domain.tasks.lifecycle import OPEN
from domain.tasks.task import REFUSALS_KEPT, Outcome, Refusal, Task

Report: TypeAlias = Literal["began", "advanced"] | Outcome
Verdict: TypeAlias = Literal["current", "already", "stale"]


def is_current(task: Task | None, *, attempt: int, server_id: UUID) -> bool:
    """Whether this server has this attempt now."""
    return (
        task is not None
        and task.phase in OPEN
        and task.attempt == attempt
        and task.server_id == server_id
    )


def judge(task: Task, *, attempt: int, server_id: UUID, report: Report) -> Verdict:
    """Whether a report speaks of now, of what is known already, or of what is no longer."""
    if is_current(task, attempt=attempt, server_id=server_id):
        return "current"
    if report in {"began", "advanced"}:
        ended_here = task.attempt == attempt and task.server_id == server_id
        return "already" if ended_here else "stale"
    return "already" if _is_past(task, attempt, server_id, report) else "stale"


def refuse_stale(
    task: Task, *, attempt: int, server_id: UUID, report: Report
) -> tuple[StaleReportRefused, ...]:
    """Note a report that came too late or from the wrong server: once, and boundedly many."""
    if (
        Refusal(attempt, server_id, report) in task.refusals
        or len(task.refusals) >= REFUSALS_KEPT
    ):
        return ()
    return (
        StaleReportRefused(
            task_id=task.task_id,
            attempt=attempt,
            current_attempt=task.attempt,
            server_id=server_id,
            report=report,
        ),
    )


def _is_past(task: Task, attempt: int, server_id: UUID, report: str) -> bool:
    return any(
        past.attempt == attempt and past.server_id == server_id and past.outcome == report
        for past in task.past
    )
