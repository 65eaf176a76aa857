"""How an attempt ends and what it costs."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from domain.facts import Fact
from domain.money import price_of
from domain.tasks.ending import (
    CLAIMABLE,
    DECLINES_UNCOUNTED,
    LOST,
    Concluded,
    charged_ms,
    conclude,
    lose,
    overdue,
    overran,
)
from domain.tasks.events import Artifact, Reason, TaskRequeued
from domain.tasks.lifecycle import FAULT
from domain.tasks.task import TASK, Outcome
from tests.domain.cast import (
    ALICE,
    HISTORIES,
    HOLD_FEN,
    PRICE_FEN,
    SERVER_ID,
    TASK_ID,
    after,
    assigned,
    cancel_requested,
    cancelled,
    completed,
    failed,
    started,
    submitted,
)
from tests.scenario import given

RUNNING, ASSIGNED, CANCELLING = (
    HISTORIES["running"],
    HISTORIES["assigned"],
    HISTORIES["cancelling"],
)
OUT_OF_MONEY = (*RUNNING, cancel_requested(reason="balance_exhausted"))
AT: dict[str, Any] = {"budget": 3, "limit_fen": HOLD_FEN, "now": after(60)}
GIVEN_UP = "the platform lost this task and does not try again"


def said(outcome: Outcome, run_ms: int = 60_000, **more: Any) -> Concluded:
    return Concluded(outcome=outcome, run_ms=run_ms, **more)


def requeued(reason: Reason, *, attempt: int = 2, counted: bool = True) -> TaskRequeued:
    return TaskRequeued(
        task_id=TASK_ID,
        user_id=ALICE,
        attempt=attempt,
        reason=reason,
        lost_server_id=SERVER_ID,
        counted=counted,
    )


def lost_before(times: int, reason: Reason = "agent_lost") -> tuple[Fact, ...]:
    """A running attempt after ``times`` counted losses."""
    history: list[Fact] = [submitted()]
    for attempt in range(1, times + 1):
        history += [
            assigned(attempt=attempt),
            requeued(reason, attempt=attempt + 1),
        ]
    current = times + 1
    return (*history, assigned(attempt=current), started(attempt=current))


def test_a_completed_attempt_costs_its_seconds_and_keeps_its_result() -> None:
    thumbnail = Artifact(
        name="scene-1.jpg", size_bytes=10, sha256="ab", media_type="image/jpeg"
    )
    given(TASK, *RUNNING).when(
        conclude, said("completed", result={"scenes": 3}, artifacts=(thumbnail,)), **AT
    ).then(completed(result={"scenes": 3}, artifacts=(thumbnail,)))


def test_an_attempt_never_costs_more_than_is_held() -> None:
    given(TASK, *RUNNING).when(conclude, said("completed"), **(AT | {"limit_fen": 7})).then(
        completed(cost_fen=7)
    )


def test_a_lying_clock_cannot_overcharge() -> None:
    given(TASK, *RUNNING).when(conclude, said("completed", 10**15), **AT).then(completed())
    given(TASK, *RUNNING).when(conclude, said("completed", -1), **AT).then(
        completed(run_ms=0, cost_fen=0)
    )


def test_a_late_word_of_the_start_does_not_make_the_seconds_cheaper() -> None:
    heard_late = (submitted(), assigned(), started(started_at=after(59)))
    given(TASK, *heard_late).when(conclude, said("completed"), **AT).then(completed())


@hypothesis.given(st.integers(-(10**9), 10**9), st.integers(0, 10**6))
def test_the_seconds_charged_are_those_run_and_those_seen(run_ms: int, passed_s: int) -> None:
    task = TASK.fold(RUNNING)
    assert task is not None
    charged = charged_ms(task, reported_ms=run_ms, now=after(passed_s))
    assert 0 <= charged <= passed_s * 1_000
    assert charged <= max(0, run_ms)
    assert price_of(charged, price_fen_per_minute=PRICE_FEN) >= 0


@pytest.mark.parametrize("reason", ["user_error", "timeout", "out_of_memory", "output_quota"])
def test_a_failure_of_the_user_s_is_paid(reason: Reason) -> None:
    end = said("failed", reason=reason, error_message="no such file")
    given(TASK, *RUNNING).when(conclude, end, **AT).then(
        failed(reason=reason, error_message="no such file")
    )


def test_a_failure_of_the_platform_s_is_free() -> None:
    given(TASK, *RUNNING).when(conclude, said("failed", reason="internal"), **AT).then(
        failed(reason="internal", cost_fen=0)
    )


@pytest.mark.parametrize(
    "reason", [None, "balance_exhausted", "cancelled_by_user", "cancelled_by_admin"]
)
def test_a_reason_that_is_not_the_agent_s_to_give_is_internal(reason: Reason | None) -> None:
    given(TASK, *RUNNING).when(conclude, said("failed", reason=reason), **AT).then(
        failed(reason="internal", cost_fen=0)
    )


def test_what_agents_may_claim_and_is_tried_again_is_the_platform_s_fault() -> None:
    assert {FAULT[reason] for reason in LOST} == {"platform"}
    assert {FAULT[reason] for reason in CLAIMABLE - LOST - {"internal"}} == {"user"}


def test_an_attempt_that_fails_before_it_begins_is_free() -> None:
    given(TASK, *ASSIGNED).when(conclude, said("failed", 0, reason="user_error"), **AT).then(
        failed(run_ms=0, cost_fen=0)
    )


@pytest.mark.parametrize("reason", ["agent_lost", "gpu_error"])
def test_a_lost_attempt_waits_again_on_the_platform_s_budget(reason: Reason) -> None:
    given(TASK, *RUNNING).when(conclude, said("failed", reason=reason), **AT).then(
        requeued(reason)
    )


def test_the_budget_is_spent_to_the_last_and_then_the_task_fails_free() -> None:
    given(TASK, *lost_before(2)).when(conclude, said("failed", reason="gpu_error"), **AT).then(
        requeued("gpu_error", attempt=4)
    )
    given(TASK, *lost_before(3)).when(conclude, said("failed", reason="gpu_error"), **AT).then(
        failed(attempt=4, reason="gpu_error", run_ms=0, cost_fen=0, error_message=GIVEN_UP)
    )


def test_without_a_budget_the_first_loss_is_the_end() -> None:
    given(TASK, *RUNNING).when(
        lose, reason="agent_lost", counted=True, budget=0, now=after(60)
    ).then(failed(reason="agent_lost", run_ms=0, cost_fen=0, error_message=GIVEN_UP))


def test_a_server_that_declines_uses_up_no_budget() -> None:
    given(TASK, *ASSIGNED).when(conclude, said("refused", 0), **(AT | {"budget": 0})).then(
        requeued("agent_refused", counted=False)
    )
    given(TASK, *ASSIGNED).when(
        conclude, said("failed", 0, reason="agent_refused"), **(AT | {"budget": 0})
    ).then(requeued("agent_refused", counted=False))


def test_a_server_cannot_decline_what_it_began() -> None:
    given(TASK, *RUNNING).when(conclude, said("refused"), **AT).then(
        requeued("agent_refused", counted=True)
    )


def declined_before(times: int) -> tuple[Fact, ...]:
    history: list[Fact] = [submitted()]
    for attempt in range(1, times + 1):
        again = requeued("agent_refused", attempt=attempt + 1, counted=False)
        history += [assigned(attempt=attempt), again]
    return (*history, assigned(attempt=times + 1))


def test_a_farm_that_declines_for_ever_comes_to_an_end() -> None:
    last = DECLINES_UNCOUNTED
    given(TASK, *declined_before(last - 1)).when(conclude, said("refused", 0), **AT).then(
        requeued("agent_refused", attempt=last + 1, counted=False)
    )
    given(TASK, *declined_before(last)).when(conclude, said("refused", 0), **AT).then(
        requeued("agent_refused", attempt=last + 2, counted=True)
    )


def test_an_attempt_that_begins_forgives_the_declined_ones() -> None:
    task = TASK.fold((*declined_before(5), started(attempt=6)))
    assert task is not None
    assert task.declined == 0


def test_a_confirmed_cancellation_is_paid_until_it_stopped() -> None:
    given(TASK, *CANCELLING).when(conclude, said("cancelled", 30_000), **AT).then(
        cancelled(run_ms=30_000, cost_fen=53)
    )


def test_a_cancelled_task_costs_no_more_than_is_held() -> None:
    given(TASK, *CANCELLING).when(
        conclude, said("cancelled", 30_000), **(AT | {"limit_fen": 7})
    ).then(cancelled(run_ms=30_000, cost_fen=7))
    given(TASK, *CANCELLING).when(overdue, now=after(90), limit_fen=7).then(
        cancelled(run_ms=60_000, cost_fen=7, finished_at=after(90))
    )


def test_what_completed_before_the_wish_to_stop_arrived_has_completed() -> None:
    given(TASK, *CANCELLING).when(conclude, said("completed"), **AT).then(completed())


def test_a_cancellation_that_nobody_asked_for_is_a_loss() -> None:
    given(TASK, *RUNNING).when(conclude, said("cancelled"), **AT).then(requeued("agent_lost"))


@pytest.mark.parametrize(
    "end", [said("refused"), said("failed", reason="agent_lost"), said("cancelled", 0)]
)
def test_a_task_that_is_being_cancelled_is_never_requeued(end: Concluded) -> None:
    given(TASK, *CANCELLING).when(conclude, end, **AT).then(cancelled())


def test_a_task_that_is_being_cancelled_when_its_server_is_lost_is_cancelled_free() -> None:
    given(TASK, *CANCELLING).when(
        lose, reason="agent_lost", counted=True, budget=3, now=after(60)
    ).then(cancelled())


def test_a_task_that_fails_while_being_cancelled_has_failed() -> None:
    given(TASK, *CANCELLING).when(conclude, said("failed", reason="timeout"), **AT).then(
        failed(reason="timeout")
    )


def test_a_task_stopped_for_want_of_money_has_failed_and_pays_what_it_ran() -> None:
    given(TASK, *OUT_OF_MONEY).when(
        conclude, said("cancelled"), **(AT | {"limit_fen": 100})
    ).then(
        failed(
            reason="balance_exhausted", cost_fen=100, error_message="the balance was used up"
        )
    )


def test_an_overdue_cancellation_is_paid_until_the_wish_and_no_longer() -> None:
    given(TASK, *CANCELLING).when(overdue, now=after(90), limit_fen=HOLD_FEN).then(
        cancelled(run_ms=60_000, cost_fen=PRICE_FEN, finished_at=after(90))
    )


def test_an_overdue_cancellation_of_what_never_began_is_free() -> None:
    given(TASK, *ASSIGNED, cancel_requested()).when(
        overdue, now=after(90), limit_fen=HOLD_FEN
    ).then(cancelled(finished_at=after(90)))


def test_a_waiting_task_cannot_be_lost() -> None:
    with pytest.raises(AssertionError):
        given(TASK, submitted()).when(
            lose, reason="agent_lost", counted=True, budget=3, now=after(60)
        )


def test_an_attempt_that_overran_has_timed_out_and_pays_for_no_second_more() -> None:
    long_after = {"now": after(90_000), "limit_fen": 10**9}
    timeout_s = submitted().timeout_s
    expected = failed(
        reason="timeout",
        run_ms=1000 * timeout_s,
        cost_fen=price_of(1000 * timeout_s, price_fen_per_minute=PRICE_FEN),
        finished_at=after(90_000),
        error_message="ran longer than its time, and its server did not end it",
    )
    given(TASK, *RUNNING).when(overran, **long_after).then(expected)


def test_an_attempt_that_overran_pays_no_more_than_is_held() -> None:
    ended = overran(TASK.fold(RUNNING), now=after(90_000), limit_fen=HOLD_FEN)  # type: ignore[arg-type]  # it is there
    assert ended.cost_fen == HOLD_FEN
