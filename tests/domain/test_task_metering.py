"""What is held for an attempt: never more than it may cost, nor long before it is owed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import price_of
from domain.system.configuration import Configuration
from domain.tasks.ending import Concluded, conclude
from domain.tasks.events import TaskCompleted
from domain.tasks.metering import LEAD_MS, Enough, Extend, review
from domain.tasks.submission import TaskOrder, retry, submit
from domain.tasks.task import TASK, Task, run_ms_of
from domain.wallet.wallet import Wallet, evolve, extend, hold, settle
from tests.domain.cast import ALICE, NOON, TASK_ID, assigned, failed, started

SHORT: dict[str, Any] = {"timeout_seconds": 15}


def order(**changes: Any) -> TaskOrder:
    return TaskOrder(title="分析", task_type="video_analysis", **changes)


def test_a_short_timeout_bounds_what_is_held_from_the_beginning() -> None:
    fact = submit(
        order(estimated_duration_min=1, config=SHORT),
        task_id=TASK_ID,
        user_id=ALICE,
        configuration=Configuration(),
    )
    assert fact.hold_fen == 26  # 15 s at 105 fen a minute


def test_running_again_holds_no_more_than_the_timeout_costs() -> None:
    first = submit(
        order(config=SHORT), task_id=TASK_ID, user_id=ALICE, configuration=Configuration()
    )
    task = TASK.fold([first, assigned(), started(), failed()])
    assert task is not None
    assert retry(task, configuration=Configuration()).hold_fen == 26


def test_a_task_of_fifteen_seconds_never_asks_for_more() -> None:
    for second in range(16):
        verdict = review(
            running(105, timeout_s=15),
            held_fen=26,
            available_fen=946,
            extension_min=5,
            now=NOON + timedelta(seconds=second),
        )
        assert verdict == Enough()


def running(price_fen: int, *, timeout_s: int) -> Task:
    fact = submit(
        order(),
        task_id=TASK_ID,
        user_id=ALICE,
        configuration=Configuration(
            prices_fen_per_minute={"video_analysis": price_fen},
            default_task_timeout_s=timeout_s,
        ),
    )
    task = TASK.fold([fact, assigned(), started()])
    assert task is not None
    return task


@given(
    price_fen=st.integers(0, 10_000),
    timeout_s=st.integers(10, 7_200),
    estimate_min=st.none() | st.integers(1, 1_440),
    step_min=st.integers(1, 30),
    spare_fen=st.integers(0, 100_000),
    looks_s=st.lists(st.floats(0, 900), max_size=30),
    claimed_ms=st.integers(-1, 10**8),
)
def test_a_hold_is_never_above_the_price_of_the_timeout_nor_a_charge_above_the_hold(
    price_fen: int,
    timeout_s: int,
    estimate_min: int | None,
    step_min: int,
    spare_fen: int,
    looks_s: list[float],
    claimed_ms: int,
) -> None:
    most_fen = price_of(1000 * timeout_s, price_fen_per_minute=price_fen)
    configuration = Configuration(
        prices_fen_per_minute={"video_analysis": price_fen}, default_task_timeout_s=timeout_s
    )
    submitted = submit(
        order(estimated_duration_min=estimate_min),
        task_id=TASK_ID,
        user_id=ALICE,
        configuration=configuration,
    )
    task = TASK.fold([submitted, assigned(), started()])
    assert task is not None
    told: dict[str, Any] = {"user_id": ALICE, "task_id": TASK_ID, "attempt": 1}
    wallet = Wallet(available_fen=submitted.hold_fen + spare_fen)
    wallet = evolve(wallet, hold(wallet, **told, amount_fen=submitted.hold_fen, limit=1))
    now = NOON
    for pause_s in looks_s:
        now += timedelta(seconds=pause_s)
        held_fen, run_ms = wallet.held_fen, run_ms_of(task, now)
        verdict = review(
            task,
            held_fen=held_fen,
            available_fen=wallet.available_fen,
            extension_min=step_min,
            now=now,
        )
        if isinstance(verdict, Extend):
            soon_fen = price_of(run_ms + LEAD_MS, price_fen_per_minute=price_fen)
            owed_fen = max(0, price_of(run_ms, price_fen_per_minute=price_fen) - held_fen)
            assert held_fen < soon_fen, "not before it runs out"
            assert verdict.amount_fen <= owed_fen + step_min * price_fen, "one step at a time"
            wallet = evolve(wallet, extend(wallet, **told, amount_fen=verdict.amount_fen))
        assert wallet.held_fen <= most_fen
    ended = conclude(
        task,
        Concluded(outcome="completed", run_ms=claimed_ms),
        budget=3,
        limit_fen=wallet.held_fen,
        now=now,
    )
    assert isinstance(ended, TaskCompleted)
    assert 0 <= ended.cost_fen <= wallet.held_fen <= most_fen
    settled = settle(wallet, **told, price_fen=ended.cost_fen, outcome="completed")
    assert settled.charged_fen == ended.cost_fen


@pytest.mark.parametrize(("price_fen", "timeout_s"), [(1, 15), (105, 15), (105, 3_600)])
def test_a_task_that_holds_all_it_may_cost_is_left_to_its_timeout(
    price_fen: int, timeout_s: int
) -> None:
    task = running(price_fen, timeout_s=timeout_s)
    most_fen = price_of(1000 * timeout_s, price_fen_per_minute=price_fen)
    for seconds in (0, timeout_s, 10 * timeout_s):
        verdict = review(
            task,
            held_fen=most_fen,
            available_fen=0,
            extension_min=5,
            now=NOON + timedelta(seconds=seconds),
        )
        assert verdict == Enough()
