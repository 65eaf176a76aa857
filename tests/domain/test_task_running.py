"""An attempt is assigned, starts, advances; and its money is watched."""

from typing import Any

import pytest

from domain.tasks.events import TaskProgressed
from domain.tasks.lifecycle import Phase
from domain.tasks.metering import Enough, Exhausted, Extend, Review, review
from domain.tasks.running import assign, progress, start, start_unseen
from domain.tasks.task import TASK, Task, run_ms_of
from tests.domain.cast import (
    GPU,
    HISTORIES,
    NOON,
    PRICE_FEN,
    SERVER_ID,
    TASK_ID,
    after,
    assigned,
    started,
    submitted,
)
from tests.scenario import given

PLACE: dict[str, Any] = {
    "server_id": SERVER_ID,
    "gpu_uuids": (GPU,),
    "why": {"candidates": 1},
    "now": NOON,
}


def running(**changes: Any) -> Task:
    task = TASK.fold([submitted(**changes), assigned(), started()])
    assert task is not None
    return task


def test_a_waiting_attempt_is_assigned_with_all_that_its_agent_needs() -> None:
    order = submitted(config={"video_url": "file:clip.mp4"}, timeout_s=60)
    given(TASK, order).when(assign, attempt=1, **PLACE).then(
        assigned(
            config={"video_url": "file:clip.mp4"},
            timeout_s=60,
            gpu_uuids=(GPU,),
            why={"candidates": 1},
        )
    )


@pytest.mark.parametrize("phase", [phase for phase in HISTORIES if phase != "pending"])
def test_what_does_not_wait_is_not_assigned(phase: Phase) -> None:
    given(TASK, *HISTORIES[phase]).when(assign, attempt=1, **PLACE).then_nothing()


def test_an_attempt_that_is_not_the_current_one_is_not_assigned() -> None:
    given(TASK, submitted()).when(assign, attempt=2, **PLACE).then_nothing()
    given(TASK).when(assign, attempt=1, **PLACE).then_nothing()


def test_an_attempt_starts_once() -> None:
    given(TASK, *HISTORIES["assigned"]).when(start, now=NOON).then(started())
    given(TASK, *HISTORIES["running"]).when(start, now=after(5)).then_nothing()


@pytest.mark.parametrize(
    ("run_ms", "seconds"),
    [(4_000, 6.0), (10_000, 0.0), (3_600_000, 0.0), (0, 10.0), (-5, 10.0), (2**63, 0.0)],
)
def test_a_start_that_nobody_heard_of_lies_between_assignment_and_now(
    run_ms: int, seconds: float
) -> None:
    given(TASK, *HISTORIES["assigned"]).when(start_unseen, run_ms=run_ms, now=after(10)).then(
        started(started_at=after(seconds))
    )


def test_a_start_that_was_heard_of_is_not_moved() -> None:
    given(TASK, *HISTORIES["running"]).when(
        start_unseen, run_ms=1, now=after(10)
    ).then_nothing()


def test_without_the_time_of_assignment_an_unheard_start_is_now() -> None:
    given(TASK, submitted(), assigned(assigned_at=None)).when(
        start_unseen, run_ms=9_000, now=after(10)
    ).then(started(started_at=after(10)))


def advanced(percent: float) -> TaskProgressed:
    return TaskProgressed(task_id=TASK_ID, attempt=1, progress=percent, note="第1步")


def test_progress_is_recorded_in_steps_worth_reading() -> None:
    history = (*HISTORIES["running"], advanced(20.0))
    step = {"note": "第1步"}
    given(TASK, *history).when(progress, percent=24.9, **step).then_nothing()
    given(TASK, *history).when(progress, percent=25.0, **step).then(advanced(25.0))
    given(TASK, *history).when(progress, percent=10.0, **step).then_nothing()
    given(TASK, *history).when(progress, percent=250.0, **step).then(advanced(100.0))


def test_a_task_has_run_since_it_started() -> None:
    assert run_ms_of(running(), after(1.5)) == 1_500
    assert run_ms_of(running(), after(-5)) == 0
    waiting = TASK.fold([submitted()])
    assert waiting is not None
    assert run_ms_of(waiting, NOON) == 0


@pytest.mark.parametrize(
    ("seconds", "held", "spendable", "verdict"),
    [
        (0, 1_050, 10_000, Enough()),
        (585, 1_050, 10_000, Enough()),  # the last seconds begin
        (586, 1_050, 10_000, Extend(525)),
        (599, 1_050, 10_000, Extend(525)),
        (586, 1_050, 100, Extend(100)),  # what is there buys what it buys
        (586, 1_050, 0, Enough()),  # the seconds that are paid for may be used
        (599, 1_050, 0, Enough()),
        (600, 1_050, 0, Exhausted()),
        (6_000, 1_050, 0, Exhausted()),
        (1_200, 1_050, 10_000, Extend(1_050 + 525)),  # nobody looked for ten minutes
        (1_200, 1_050, 30, Extend(30)),
        (3_590, 6_200, 10_000, Extend(100)),  # an hour is all that it may run
        (3_590, 6_300, 10_000, Enough()),
        (9_999, 6_300, 0, Enough()),  # its timeout ends it, not its money
    ],
)
def test_a_hold_is_extended_in_time_and_the_task_stopped_when_all_is_used(
    seconds: int, held: int, spendable: int, verdict: Review
) -> None:
    assert (
        review(
            running(),
            held_fen=held,
            available_fen=spendable,
            extension_min=5,
            now=after(seconds),
        )
        == verdict
    )


def test_a_free_task_is_never_stopped_for_money() -> None:
    free = running(price_fen_per_minute=0)
    asked: dict[str, Any] = {"held_fen": 0, "available_fen": 0, "extension_min": 5}
    assert review(free, **asked, now=after(10**6)) == Enough()


@pytest.mark.parametrize("phase", [phase for phase in HISTORIES if phase != "running"])
def test_only_a_running_task_needs_money(phase: Phase) -> None:
    task = TASK.fold(HISTORIES[phase])
    assert task is not None
    asked: dict[str, Any] = {"held_fen": 0, "available_fen": 0, "extension_min": 5}
    assert review(task, **asked, now=after(10**6)) == Enough()
    assert task.price_fen_per_minute == PRICE_FEN
