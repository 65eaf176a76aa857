"""The configuration changes within its ranges, all or nothing."""

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.system.configuration import (
    CONFIGURATION,
    LEASE_ORDER,
    TYPES_MAX,
    Configuration,
    change,
)
from domain.system.events import ConfigurationChanged, ReadModelSwitched
from tests.scenario import given

PRICES = {"video_analysis": 200}


def test_a_change_says_before_and_after_of_what_differs() -> None:
    wanted = {
        "maintenance_mode": True,
        "cancel_deadline_s": 30,
        "timeout_grace_s": 180,
        "prices_fen_per_minute": PRICES,
    }
    given(CONFIGURATION).when(change, wanted).then(
        ConfigurationChanged(
            before={
                "maintenance_mode": False,
                "prices_fen_per_minute": {"video_analysis": 105, "test": 0},
            },
            after={
                "maintenance_mode": True,
                "prices_fen_per_minute": {"video_analysis": 200, "test": 0},
            },
        )
    )


@pytest.mark.parametrize(
    ("named", "left"),
    [
        ({"test": 7}, {"video_analysis": 105, "test": 7}),
        ({"encoding": 3}, {"video_analysis": 105, "test": 0, "encoding": 3}),
        ({"test": None}, {"video_analysis": 105}),
        ({"test": None, "video_analysis": 1}, {"video_analysis": 1}),
        ({"unheard_of": None}, {"video_analysis": 105, "test": 0}),
    ],
)
def test_a_price_is_changed_by_its_type_and_the_others_stay(
    named: dict[str, int | None], left: dict[str, int]
) -> None:
    facts = change(Configuration(), {"prices_fen_per_minute": named})
    assert CONFIGURATION.fold(facts).prices_fen_per_minute == left


@pytest.mark.parametrize(
    "named",
    [
        {"test": None, "video_analysis": None},
        {f"t{number}": 1 for number in range(TYPES_MAX - 1)},
    ],
)
def test_the_farm_keeps_a_type_and_not_too_many(named: dict[str, int | None]) -> None:
    decided = given(CONFIGURATION).when(change, {"prices_fen_per_minute": named})
    assert isinstance(decided.refusal, InvalidInput)
    assert set(decided.refusal.details["field_errors"]) == {"prices_fen_per_minute"}


def test_a_change_takes_effect() -> None:
    changed = ConfigurationChanged(before={}, after={"prices_fen_per_minute": PRICES})
    switched = ReadModelSwitched(
        read_model="users", before_generation=1, after_generation=2, at_position=9
    )
    assert CONFIGURATION.fold([changed, switched]) == Configuration(
        prices_fen_per_minute=PRICES
    )


@pytest.mark.parametrize("wanted", [{}, {"cancel_deadline_s": 30}])
def test_what_is_so_already_is_no_change(wanted: dict[str, Any]) -> None:
    given(CONFIGURATION).when(change, wanted).then_nothing()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_concurrent_tasks_per_user", 0),
        ("max_concurrent_tasks_per_user", 1_001),
        ("max_concurrent_tasks_per_user", "5"),
        ("max_concurrent_tasks_per_user", 5.5),
        ("default_task_timeout_s", 9),
        ("default_task_timeout_s", 86_401),
        ("maintenance_mode", 1),
        ("maintenance_mode", None),
        ("prices_fen_per_minute", {"test": -1}),
        ("prices_fen_per_minute", {"test": 1_000_001}),
        ("requeue_budget", 21),
        ("colour", "red"),
    ],
)
def test_what_is_out_of_range_or_unknown_is_refused(key: str, value: object) -> None:
    decided = given(CONFIGURATION).when(change, {key: value, "maintenance_mode": value})
    assert isinstance(decided.refusal, InvalidInput)
    assert key in decided.refusal.details["field_errors"]


def test_every_bad_key_is_named_at_once() -> None:
    decided = given(CONFIGURATION).when(
        change, {"requeue_budget": -1, "suspect_after_s": 0, "aging_steps_max": 1}
    )
    assert decided.refusal is not None
    assert set(decided.refusal.details["field_errors"]) == {"requeue_budget", "suspect_after_s"}


def test_a_wrong_order_is_named_with_what_is_wrong_by_itself() -> None:
    none_left = dict.fromkeys(Configuration().prices_fen_per_minute)
    wanted = {"prices_fen_per_minute": none_left, "offline_after_s": 10, "suspect_after_s": 11}
    decided = given(CONFIGURATION).when(change, wanted)
    assert decided.refusal is not None
    assert set(decided.refusal.details["field_errors"]) == {
        "prices_fen_per_minute",
        "offline_after_s",
    }


@pytest.mark.parametrize(
    ("wanted", "bad"),
    [
        ({"heartbeat_interval_s": 15}, "suspect_after_s"),
        ({"suspect_after_s": 30}, "offline_after_s"),
        ({"lease_lost_after_s": 30}, "lease_lost_after_s"),
    ],
)
def test_the_times_of_a_lease_stand_in_order(wanted: dict[str, int], bad: str) -> None:
    decided = given(CONFIGURATION).when(change, wanted)
    assert isinstance(decided.refusal, InvalidInput)
    assert set(decided.refusal.details["field_errors"]) == {bad}


@hypothesis.given(
    st.lists(
        st.dictionaries(st.sampled_from(LEASE_ORDER), st.integers(0, 200), max_size=4),
        max_size=8,
    )
)
def test_no_series_of_changes_leads_out_of_the_ranges(changes: list[dict[str, int]]) -> None:
    history: list[ConfigurationChanged] = []
    for wanted in changes:
        before = CONFIGURATION.fold(history)
        try:
            facts = change(before, wanted)
        except InvalidInput:
            continue
        history.extend(facts)
        after = CONFIGURATION.fold(history)
        assert all(getattr(after, key) == value for key, value in wanted.items())
        assert all(fact.before.keys() == fact.after.keys() for fact in facts)
    times = [getattr(CONFIGURATION.fold(history), key) for key in LEASE_ORDER]
    assert times == sorted(set(times))
