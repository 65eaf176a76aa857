"""Which reports count, and what is kept of those that do not."""

from __future__ import annotations

from uuid import UUID

import pytest

from domain.facts import Fact
from domain.tasks.events import StaleReportRefused, TaskRequeued
from domain.tasks.fencing import Report, Verdict, is_current, judge, refuse_stale
from domain.tasks.task import PAST_KEPT, REFUSALS_KEPT, TASK, Task
from tests.domain.cast import (
    ALICE,
    HISTORIES,
    OTHER_SERVER,
    SERVER_ID,
    TASK_ID,
    assigned,
    cancel_requested,
    completed,
    failed,
    started,
    submitted,
)
from tests.scenario import given


def folded(*history: Fact) -> Task:
    task = TASK.fold(history)
    assert task is not None
    return task


def requeued(attempt: int = 2) -> TaskRequeued:
    return TaskRequeued(
        task_id=TASK_ID,
        user_id=ALICE,
        attempt=attempt,
        reason="agent_lost",
        lost_server_id=SERVER_ID,
    )


def refusal(report: str = "completed", attempt: int = 1) -> StaleReportRefused:
    return StaleReportRefused(
        task_id=TASK_ID,
        attempt=attempt,
        current_attempt=2,
        server_id=SERVER_ID,
        report=report,
    )


LOST = (submitted(), assigned(), started(), requeued())
ELSEWHERE = (*LOST, assigned(attempt=2, server_id=OTHER_SERVER))
BROKE = (
    *HISTORIES["running"],
    cancel_requested(reason="balance_exhausted"),
    failed(reason="balance_exhausted"),
)


@pytest.mark.parametrize(
    ("history", "attempt", "server_id", "report", "verdict"),
    [
        (HISTORIES["assigned"], 1, SERVER_ID, "began", "current"),
        (HISTORIES["running"], 1, SERVER_ID, "completed", "current"),
        (HISTORIES["cancelling"], 1, SERVER_ID, "cancelled", "current"),
        (HISTORIES["running"], 1, OTHER_SERVER, "completed", "stale"),
        (HISTORIES["running"], 2, SERVER_ID, "began", "stale"),
        (HISTORIES["pending"], 1, SERVER_ID, "began", "stale"),
        # repeats of what is recorded
        (HISTORIES["completed"], 1, SERVER_ID, "completed", "already"),
        (HISTORIES["completed"], 1, SERVER_ID, "began", "already"),
        (HISTORIES["completed"], 1, SERVER_ID, "advanced", "already"),
        (HISTORIES["failed"], 1, SERVER_ID, "failed", "already"),
        (BROKE, 1, SERVER_ID, "cancelled", "already"),
        (LOST, 1, SERVER_ID, "failed", "already"),
        (ELSEWHERE, 1, SERVER_ID, "failed", "already"),
        # contradictions and zombies
        (HISTORIES["completed"], 1, SERVER_ID, "failed", "stale"),
        (HISTORIES["failed"], 1, SERVER_ID, "completed", "stale"),
        (HISTORIES["completed"], 1, OTHER_SERVER, "completed", "stale"),
        (LOST, 1, SERVER_ID, "completed", "stale"),
        (LOST, 1, SERVER_ID, "advanced", "stale"),
        (ELSEWHERE, 1, SERVER_ID, "completed", "stale"),
        (ELSEWHERE, 2, SERVER_ID, "completed", "stale"),
        (ELSEWHERE, 2, OTHER_SERVER, "completed", "current"),
        (HISTORIES["deleted"], 1, SERVER_ID, "completed", "stale"),
    ],
)
def test_a_report_counts_when_it_is_of_the_attempt_that_its_server_has(
    history: tuple[Fact, ...],
    attempt: int,
    server_id: UUID,
    report: Report,
    verdict: Verdict,
) -> None:
    task = folded(*history)
    assert judge(task, attempt=attempt, server_id=server_id, report=report) == verdict
    assert is_current(task, attempt=attempt, server_id=server_id) == (verdict == "current")


def test_no_report_is_of_a_task_that_never_was() -> None:
    assert not is_current(None, attempt=1, server_id=SERVER_ID)


def test_a_stale_report_is_on_record_once() -> None:
    zombie = {"attempt": 1, "server_id": SERVER_ID, "report": "completed"}
    given(TASK, *LOST).when(refuse_stale, **zombie).then(refusal())
    given(TASK, *LOST, refusal()).when(refuse_stale, **zombie).then_nothing()
    given(TASK, *LOST, refusal("failed")).when(refuse_stale, **zombie).then(refusal())


def test_stale_reports_do_not_fill_the_log() -> None:
    many = [refusal(attempt=attempt) for attempt in range(100, 100 + REFUSALS_KEPT)]
    given(TASK, *LOST, *many[:-1]).when(
        refuse_stale, attempt=1, server_id=SERVER_ID, report="completed"
    ).then(refusal())
    given(TASK, *LOST, *many).when(
        refuse_stale, attempt=1, server_id=SERVER_ID, report="completed"
    ).then_nothing()


def test_a_refused_report_moves_nothing() -> None:
    before, after = folded(*ELSEWHERE), folded(*ELSEWHERE, refusal())
    assert (after.phase, after.attempt, after.server_id) == (
        before.phase,
        before.attempt,
        before.server_id,
    )


def test_the_memory_of_past_attempts_is_bounded() -> None:
    history: list[Fact] = [submitted()]
    for attempt in range(1, 3 * PAST_KEPT):
        history += [assigned(attempt=attempt), requeued(attempt + 1)]
    task = folded(*history)
    assert len(task.past) == PAST_KEPT
    assert task.past[-1].attempt == 3 * PAST_KEPT - 1


def test_the_last_attempt_is_remembered_beside_those_before() -> None:
    last = completed(attempt=2, server_id=OTHER_SERVER)
    task = folded(*ELSEWHERE, started(attempt=2, server_id=OTHER_SERVER), last)
    assert [(past.attempt, past.server_id, past.outcome) for past in task.past] == [
        (1, SERVER_ID, "failed"),
        (2, OTHER_SERVER, "completed"),
    ]
