"""What users decide about their tasks."""

from typing import Any

import pytest

from domain.errors import InvalidInput, InvalidState
from domain.system.configuration import Configuration
from domain.tasks.events import TaskRetried
from domain.tasks.lifecycle import STATUS, Phase
from domain.tasks.submission import TaskOrder, cancel, delete, retry, submit, timeout_for
from domain.tasks.task import TASK
from tests.domain.cast import (
    ALICE,
    HISTORIES,
    HOLD_FEN,
    NOON,
    PRICE_FEN,
    TASK_ID,
    after,
    cancel_requested,
    cancelled,
    deleted,
    submitted,
)
from tests.scenario import given

DEFAULTS = Configuration()
ORDER = TaskOrder(title="分析", task_type="video_analysis")
WHO: dict[str, Any] = {"task_id": TASK_ID, "user_id": ALICE}
RETRIED = TaskRetried(
    task_id=TASK_ID,
    user_id=ALICE,
    attempt=2,
    price_fen_per_minute=PRICE_FEN,
    hold_fen=HOLD_FEN,
    timeout_s=3600,
)


def test_an_order_is_accepted_at_today_s_price_and_held_for_ten_minutes() -> None:
    assert submit(ORDER, **WHO, configuration=DEFAULTS) == submitted()


def test_an_estimate_sets_the_hold() -> None:
    order = TaskOrder(title="t", task_type="video_analysis", estimated_duration_min=30)
    assert submit(order, **WHO, configuration=DEFAULTS).hold_fen == 30 * PRICE_FEN


def test_a_free_type_holds_nothing() -> None:
    fact = submit(TaskOrder(title="t", task_type="test"), **WHO, configuration=DEFAULTS)
    assert (fact.price_fen_per_minute, fact.hold_fen) == (0, 0)


def test_an_unknown_type_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InvalidInput) as refusal:
        submit(TaskOrder(title="t", task_type="coffee"), **WHO, configuration=DEFAULTS)
    assert refusal.value.details == {
        "field": "task_type",
        "enabled": ["test", "video_analysis"],
    }


@pytest.mark.parametrize(
    ("config", "timeout_s"),
    [
        ({}, 3600),
        ({"timeout_seconds": 60}, 60),
        ({"timeout_seconds": 3600}, 3600),
        ({"timeout_seconds": 3601}, 3600),
        ({"timeout_seconds": 0}, 3600),
        ({"timeout_seconds": -5}, 3600),
        ({"timeout_seconds": True}, 3600),
        ({"timeout_seconds": "60"}, 3600),
        ({"timeout_seconds": None}, 3600),
    ],
)
def test_a_task_may_lower_its_timeout_only(config: dict[str, Any], timeout_s: int) -> None:
    assert timeout_for(config, DEFAULTS) == timeout_s


def test_a_waiting_task_is_cancelled_at_once_and_free() -> None:
    given(TASK, *HISTORIES["pending"]).when(cancel, reason="cancelled_by_user", now=NOON).then(
        cancelled(finished_at=NOON, server_id=None)
    )


@pytest.mark.parametrize("phase", ["assigned", "running"])
def test_a_task_on_a_server_is_asked_to_stop(phase: Phase) -> None:
    given(TASK, *HISTORIES[phase]).when(
        cancel, reason="cancelled_by_admin", now=after(60)
    ).then(cancel_requested(reason="cancelled_by_admin"))


@pytest.mark.parametrize("phase", ["cancelling", "cancelled"])
def test_cancelling_again_changes_nothing(phase: Phase) -> None:
    given(TASK, *HISTORIES[phase]).when(
        cancel, reason="cancelled_by_user", now=NOON
    ).then_nothing()


@pytest.mark.parametrize("phase", ["completed", "failed"])
def test_what_has_ended_otherwise_cannot_be_cancelled(phase: Phase) -> None:
    given(TASK, *HISTORIES[phase]).when(
        cancel, reason="cancelled_by_user", now=NOON
    ).then_refused(InvalidState, status=phase, phase=phase)


@pytest.mark.parametrize("phase", ["failed", "cancelled"])
def test_a_failed_or_cancelled_task_runs_again(phase: Phase) -> None:
    given(TASK, *HISTORIES[phase]).when(retry, configuration=DEFAULTS).then(RETRIED)


@pytest.mark.parametrize("phase", ["pending", "assigned", "running", "cancelling", "completed"])
def test_nothing_else_runs_again(phase: Phase) -> None:
    given(TASK, *HISTORIES[phase]).when(retry, configuration=DEFAULTS).then_refused(
        InvalidState, status=STATUS[phase], phase=phase
    )


def test_running_again_costs_today_s_price_and_keeps_the_wishes_of_the_order() -> None:
    order = submitted(estimated_duration_min=2, config={"timeout_seconds": 30})
    today = Configuration(prices_fen_per_minute={"video_analysis": 200})
    given(TASK, order, cancelled(server_id=None)).when(retry, configuration=today).then(
        TaskRetried(
            task_id=TASK_ID,
            user_id=ALICE,
            attempt=2,
            price_fen_per_minute=200,
            hold_fen=100,
            timeout_s=30,
        )
    )


def test_a_type_that_the_farm_gave_up_does_not_run_again_for_nothing() -> None:
    today = Configuration(prices_fen_per_minute={"test": 0})
    given(TASK, *HISTORIES["failed"]).when(retry, configuration=today).then_refused(
        InvalidState, task_type="video_analysis"
    )


@pytest.mark.parametrize("phase", ["completed", "failed", "cancelled"])
def test_an_ended_task_can_be_deleted(phase: Phase) -> None:
    given(TASK, *HISTORIES[phase]).when(delete).then(deleted())


@pytest.mark.parametrize("phase", ["pending", "assigned", "running", "cancelling"])
def test_an_open_task_cannot_be_deleted(phase: Phase) -> None:
    given(TASK, *HISTORIES[phase]).when(delete).then_refused(
        InvalidState, status=STATUS[phase], phase=phase
    )
