"""The life of a task: every pair of phase and fact, and the laws of the table."""

from __future__ import annotations

from datetime import datetime
from typing import get_args
from uuid import UUID

import pytest
from msgspec.structs import asdict

from domain.errors import NotFound
from domain.facts import Fact
from domain.tasks.events import (
    Reason,
    StaleReportRefused,
    TaskFact,
    TaskProgressed,
    TaskRequeued,
    TaskRetried,
    TaskSubmitted,
    TaskSubmittedInClear,
)
from domain.tasks.lifecycle import (
    ANYWHERE,
    FAULT,
    OPEN,
    STATUS,
    TRANSITIONS,
    Phase,
    allows,
    next_phase,
)
from domain.tasks.task import TASK, existing
from tests.domain.cast import (
    ALICE,
    HISTORIES,
    NOON,
    SERVER_ID,
    TASK_ID,
    assigned,
    cancel_requested,
    cancelled,
    completed,
    deleted,
    failed,
    started,
    submitted,
)

PHASES: tuple[Phase, ...] = get_args(Phase)
FACTS: tuple[Fact, ...] = (
    assigned(),
    started(),
    TaskProgressed(task_id=TASK_ID, attempt=1, progress=10.0),
    cancel_requested(),
    completed(),
    failed(),
    cancelled(),
    TaskRequeued(
        task_id=TASK_ID,
        user_id=ALICE,
        attempt=2,
        reason="agent_lost",
        lost_server_id=SERVER_ID,
    ),
    TaskRetried(
        task_id=TASK_ID,
        user_id=ALICE,
        attempt=2,
        price_fen_per_minute=1,
        hold_fen=10,
        timeout_s=60,
    ),
    deleted(),
    StaleReportRefused(
        task_id=TASK_ID, attempt=1, current_attempt=2, server_id=SERVER_ID, report="began"
    ),
)
# told apart from the table: where each fact may stand, and where it leads
ALLOWED: dict[str, dict[str, str]] = {
    "TaskAssigned": {"pending": "assigned"},
    "TaskStarted": {"assigned": "running", "cancelling": "cancelling"},
    "TaskProgressed": {"running": "running", "cancelling": "cancelling"},
    "TaskCancelRequested": {"assigned": "cancelling", "running": "cancelling"},
    "TaskCompleted": {"running": "completed", "cancelling": "completed"},
    "TaskFailed": dict.fromkeys(("pending", "assigned", "running", "cancelling"), "failed"),
    "TaskCancelled": {"pending": "cancelled", "cancelling": "cancelled"},
    "TaskRequeued": {"assigned": "pending", "running": "pending"},
    "TaskRetried": {"failed": "pending", "cancelled": "pending"},
    "TaskDeleted": dict.fromkeys(("completed", "failed", "cancelled"), "deleted"),
    "StaleReportRefused": {phase: phase for phase in PHASES},
}


def named(fact: Fact) -> str:
    return type(fact).__name__


@pytest.mark.parametrize("phase", PHASES)
def test_the_shortest_way_leads_to_each_phase(phase: Phase) -> None:
    task = TASK.fold(HISTORIES[phase])
    assert task is not None
    assert task.phase == phase


@pytest.mark.parametrize("fact", FACTS, ids=named)
@pytest.mark.parametrize("phase", PHASES)
def test_a_fact_moves_a_task_as_the_table_says_or_not_at_all(phase: Phase, fact: Fact) -> None:
    task = TASK.fold(HISTORIES[phase])
    leads_to = ALLOWED[named(fact)].get(phase)
    if leads_to is None:
        with pytest.raises(AssertionError, match=f"no {named(fact)} from {phase}"):
            TASK.fold([fact], task)
    else:
        moved = TASK.fold([fact], task)
        assert moved is not None
        assert moved.phase == leads_to
    assert allows(phase, type(fact)) == (leads_to is not None and type(fact) not in ANYWHERE)


def test_every_fact_about_tasks_is_in_the_tests_above() -> None:
    first = {TaskSubmitted, TaskSubmittedInClear}
    assert {type(fact) for fact in FACTS} | first == set(get_args(TaskFact))
    assert set(ALLOWED) == {named(fact) for fact in FACTS}


def test_what_was_submitted_in_clear_is_the_same_task() -> None:
    before = TaskSubmittedInClear(**asdict(submitted(description="夜")))
    assert TASK.fold([before]) == TASK.fold([submitted(description="夜")])


def test_every_phase_has_its_row_and_its_status() -> None:
    assert set(TRANSITIONS) == set(PHASES)
    assert set(STATUS) == set(PHASES) - {"deleted"}


def test_every_reason_is_somebody_s_fault() -> None:
    assert set(FAULT) == set(get_args(Reason))


def test_what_has_ended_opens_again_only_on_the_user_s_wish() -> None:
    reopening = {
        fact
        for phase in set(PHASES) - OPEN
        for fact, after in TRANSITIONS[phase].items()
        if after in OPEN
    }
    assert reopening == {TaskRetried}


@pytest.mark.parametrize("phase", sorted(OPEN))
def test_every_open_task_can_be_ended(phase: Phase) -> None:
    assert set(TRANSITIONS[phase].values()) - OPEN


def test_nothing_follows_a_deletion() -> None:
    assert TRANSITIONS["deleted"] == {}
    with pytest.raises(AssertionError):
        next_phase("deleted", assigned())


def test_a_fact_before_the_submission_is_a_corrupt_stream() -> None:
    with pytest.raises(AssertionError, match="corrupt"):
        TASK.fold([assigned()])


def test_another_attempt_begins_with_nothing_of_the_last() -> None:
    history = (*HISTORIES["cancelling"], cancelled(), FACTS[8])
    task = TASK.fold(history)
    assert task is not None
    leftovers: tuple[UUID | datetime | str | None, ...] = (
        task.server_id,
        task.assigned_at,
        task.started_at,
        task.cancel_reason,
        task.cancel_requested_at,
    )
    assert leftovers == (None,) * 5
    assert (task.attempt, task.progress, task.price_fen_per_minute) == (2, 0.0, 1)
    assert (task.timeout_s, task.lost, task.declined) == (60, 0, 0)


def test_a_deleted_task_is_not_there_to_be_seen() -> None:
    with pytest.raises(NotFound):
        existing(TASK.fold(HISTORIES["deleted"]))
    with pytest.raises(NotFound):
        existing(None)
    assert existing(TASK.fold(HISTORIES["completed"])).started_at == NOON
