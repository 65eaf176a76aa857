"""Reports come repeated, late, out of order and from zombies; the task ends once."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from commands.task_reports import RecordAdvanced, RecordBegan, RecordEnded
from domain.ids import CONFIGURATION_STREAM
from domain.system.events import ConfigurationChanged
from domain.tasks.events import (
    Artifact,
    StaleReportRefused,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskProgressed,
    TaskRequeued,
    TaskStarted,
)
from domain.wallet.events import HoldSettled
from domain.wallet.wallet import Wallet
from tests.commands.farm import Farm, running
from tests.domain.cast import (
    HOLD_FEN,
    NOON,
    OTHER_SERVER,
    OTHER_TASK,
    SERVER_ID,
    TASK_ID,
    after,
    completed,
)

MINUTE: dict[str, Any] = {"run_ms": 60_000, "at": after(60)}


def kinds(farm: Farm, count: int) -> list[type]:
    return [type(fact) for fact in farm.last(count)]


def given_out() -> Farm:
    """Assigned at noon, and nothing heard since."""
    farm = Farm().with_server().with_balance(10_000)
    farm.submit()
    farm.assign()
    return farm


def moved_on() -> Farm:
    """The first attempt was lost; the second runs elsewhere."""
    farm = running().with_server(OTHER_SERVER)
    farm.lose()
    farm.assign(2, server_id=OTHER_SERVER)
    farm.began(2, server_id=OTHER_SERVER)
    return farm


def test_a_task_runs_from_its_agent_s_word_by_the_platform_s_clock() -> None:
    farm = given_out()
    assert farm.began(at=after(2)) == "recorded"
    assert farm.task().started_at == after(2)


def test_progress_is_recorded_in_steps() -> None:
    farm = running()
    assert farm.advanced(45.5) == "recorded"
    assert farm.advanced(46.0) == "already"
    assert farm.task().progress == 45.5


def test_an_attempt_that_advances_has_begun() -> None:
    farm = given_out()
    assert farm.advanced(10.0, at=after(3)) == "recorded"
    assert kinds(farm, 2) == [TaskStarted, TaskProgressed]
    assert farm.began(at=after(4)) == "already"
    assert farm.task().started_at == after(3)


def test_a_completion_pays_its_seconds_and_closes_the_hold_in_the_same_commit() -> None:
    farm = running()
    thumbnail = Artifact(
        name="scene-1.jpg", size_bytes=10, sha256="ab", media_type="image/jpeg"
    )
    report = MINUTE | {"result": {"scenes": 3}, "artifacts": (thumbnail,)}
    assert farm.ended("completed", **report) == "recorded"
    task_ended, settled = farm.last(2)
    assert task_ended == completed(result={"scenes": 3}, artifacts=(thumbnail,))
    assert isinstance(settled, HoldSettled)
    assert (settled.charged_fen, settled.outcome) == (105, "completed")
    assert farm.wallet() == Wallet(available_fen=10_000 - 105)


def test_a_completion_of_what_nobody_heard_begin_starts_ends_and_pays() -> None:
    farm = given_out()
    assert farm.ended("completed", run_ms=60_000, at=after(90)) == "recorded"
    assert kinds(farm, 3) == [TaskStarted, TaskCompleted, HoldSettled]
    assert farm.task().started_at == after(30)
    assert farm.wallet().available_fen == 10_000 - 105


def test_what_nobody_heard_begin_pays_no_more_than_passed_since_it_was_given_out() -> None:
    farm = given_out()
    farm.ended("completed", run_ms=3_600_000, at=after(60))
    assert farm.task().started_at == NOON
    assert farm.wallet().available_fen == 10_000 - 105


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
def test_what_ran_unheard_and_then_ended_otherwise_pays_too(outcome: Any) -> None:
    farm = given_out()
    farm.cancel(at=after(50))
    assert farm.ended(outcome, reason="user_error", **MINUTE) == "recorded"
    assert farm.wallet().available_fen == 10_000 - 105


def test_what_never_ran_has_no_start() -> None:
    farm = given_out()
    assert farm.ended("failed", reason="user_error", at=after(1)) == "recorded"
    assert kinds(farm, 2) == [TaskFailed, HoldSettled]
    assert farm.wallet().available_fen == 10_000


def test_a_server_that_declines_sends_the_task_back_with_its_hold() -> None:
    farm = given_out()
    assert farm.ended("refused", run_ms=5) == "recorded"
    assert kinds(farm, 1) == [TaskRequeued]
    assert (farm.task().phase, farm.task().attempt, farm.task().lost) == ("pending", 2, 0)
    assert farm.wallet().held_fen == HOLD_FEN


def test_a_gpu_that_fails_sends_the_task_back_until_the_budget_is_spent() -> None:
    farm = Farm().with_server().with_balance(10_000)
    farm.given(
        CONFIGURATION_STREAM, ConfigurationChanged(before={}, after={"requeue_budget": 1})
    )
    farm.submit()
    farm.assign()
    farm.ended("failed", reason="gpu_error", **MINUTE)
    assert (farm.task().phase, farm.wallet().held_fen) == ("pending", HOLD_FEN)
    farm.assign(2)
    farm.ended("failed", 2, reason="gpu_error", **MINUTE)
    assert farm.task().phase == "failed"
    assert farm.wallet() == Wallet(available_fen=10_000)


def test_a_confirmed_cancellation_pays_what_it_ran() -> None:
    farm = running()
    farm.cancel(at=after(30))
    assert farm.ended("cancelled", run_ms=31_000, at=after(32)) == "recorded"
    assert kinds(farm, 2) == [TaskCancelled, HoldSettled]
    assert farm.wallet().available_fen == 10_000 - 54


def test_what_completed_before_the_wish_to_stop_arrived_has_completed() -> None:
    farm = running()
    farm.cancel(at=after(59))
    farm.ended("completed", **MINUTE)
    assert farm.task().phase == "completed"
    assert farm.ended("cancelled", **MINUTE) == "stale"
    assert farm.wallet().available_fen == 10_000 - 105


def test_every_repeat_is_answered_and_appends_nothing() -> None:
    farm = running()
    farm.advanced(50.0)
    farm.ended("completed", **MINUTE)
    story = list(farm.story)
    assert farm.began(at=after(70)) == "already"
    assert farm.advanced(60.0, at=after(70)) == "already"
    assert farm.ended("completed", run_ms=60_000, at=after(70)) == "already"
    assert farm.story == story


def test_the_repeat_of_a_report_that_sent_the_task_back_appends_nothing() -> None:
    farm = given_out()
    farm.ended("refused")
    farm.assign(2)
    story = list(farm.story)
    assert farm.ended("refused") == "already"
    assert farm.story == story


def test_a_zombie_neither_ends_the_task_nor_charges_for_it_and_is_on_record_once() -> None:
    farm = moved_on()
    wallet = farm.wallet()
    for _ in range(3):
        assert farm.ended("completed", **MINUTE) == "stale"
    assert farm.last(2)[1] == StaleReportRefused(
        task_id=TASK_ID,
        attempt=1,
        current_attempt=2,
        server_id=SERVER_ID,
        report="completed",
    )
    assert kinds(farm, 2)[0] is not StaleReportRefused
    assert (farm.task().phase, farm.task().attempt, farm.wallet()) == ("running", 2, wallet)


def test_a_server_cannot_report_on_what_another_has() -> None:
    farm = moved_on()
    assert farm.began(2) == "stale"
    assert farm.advanced(99.0, 2) == "stale"
    assert farm.ended("completed", 2, **MINUTE) == "stale"
    assert farm.task().phase == "running"


def test_an_agent_can_let_go_of_a_report_on_a_task_that_never_was() -> None:
    farm = running()
    story = list(farm.story)
    assert farm.began(task_id=OTHER_TASK) == "unknown"
    assert farm.advanced(5.0, task_id=OTHER_TASK) == "unknown"
    assert farm.ended("completed", task_id=OTHER_TASK) == "unknown"
    assert farm.story == story


@pytest.mark.parametrize("order", list(permutations(("began", "advanced", "ended"))))
def test_in_whatever_order_the_reports_arrive_the_task_ends_once_and_pays_alike(
    order: tuple[str, ...],
) -> None:
    farm = given_out()
    for name in order * 2:
        match name:
            case "began":
                farm.began(at=after(60))
            case "advanced":
                farm.advanced(50.0, at=after(60))
            case _:
                farm.ended("completed", **MINUTE)
    assert farm.task().phase == "completed"
    assert farm.wallet() == Wallet(available_fen=10_000 - 105)
    assert not any(isinstance(fact, StaleReportRefused) for _, fact in farm.story)


def test_a_command_names_the_streams_it_will_want() -> None:
    report: dict[str, Any] = {
        "task_id": TASK_ID,
        "attempt": 1,
        "server_id": SERVER_ID,
        "at": NOON,
    }
    assert RecordBegan(**report).streams() == (TASK_ID,)
    assert RecordAdvanced(**report, progress=1.0, note="").streams() == (TASK_ID,)
    ended = RecordEnded(**report, outcome="completed", run_ms=1)
    assert ended.streams() == (CONFIGURATION_STREAM, TASK_ID)
