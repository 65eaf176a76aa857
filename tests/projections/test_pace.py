"""How a rebuild leaves room for others: for whom, how much, and when it goes on."""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.envelope import Told
from domain.facts import Fact
from projections import building
from projections.filling import fill_here
from projections.generations import open_building
from projections.pace import (
    BESIDE_WRITERS,
    LOOK_EVERY_S,
    LOOK_FIRST_S,
    PERIOD_S,
    WRITTEN_PER_S,
    BuildingConfig,
    Others,
    Pace,
    Turns,
    share_of,
)
from projections.rebuild import Log, rebuild
from projections.tasks import TASKS
from tests.projections.feed import ListFeed, ListHistory
from tests.projections.history import RandomFarm
from tests.projections.tables import naive, project, stored


class Clock:
    """Sleeping makes it later."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_where_nobody_writes_it_works_all_the_time_it_may() -> None:
    assert share_of(BuildingConfig(), WRITTEN_PER_S / 2) == 1.0
    assert share_of(BuildingConfig(max_load=0.5), 0.0) == 0.5


def test_beside_writers_it_works_a_small_share_of_the_time() -> None:
    assert share_of(BuildingConfig(), 2_000.0) == BESIDE_WRITERS
    assert share_of(BuildingConfig(max_load=BESIDE_WRITERS / 2), 2_000.0) == BESIDE_WRITERS / 2


def test_a_share_that_somebody_chose_is_kept_to_whoever_writes() -> None:
    chosen = BuildingConfig(max_load=0.5, beside_writers=0.5)
    assert share_of(chosen, 2_000.0) == share_of(chosen, 0.0) == 0.5


def test_writers_that_come_and_go_are_noticed() -> None:
    clock, head = Clock(), 0
    pace = Pace(BuildingConfig(), lambda: head, clock, clock.sleep)

    def share(written: int) -> float:
        nonlocal head
        head += written
        clock.now += LOOK_EVERY_S
        pace.rest()
        return pace.share

    assert pace.share == 1.0
    assert [share(0), share(1_000), share(1_000), share(0)] == [
        1.0,
        BESIDE_WRITERS,
        BESIDE_WRITERS,
        1.0,
    ]


def test_the_log_is_not_asked_more_often_than_it_has_to_be() -> None:
    clock = Clock()
    asked: list[float] = []

    def head() -> int:
        asked.append(clock.now)
        return 0

    pace = Pace(BuildingConfig(), head, clock, clock.sleep)
    for _ in range(1_000):
        clock.now += LOOK_EVERY_S / 50
        pace.rest()
    assert asked[1] - asked[0] < LOOK_EVERY_S / 2, "soon, whether anybody writes"
    assert all(later - sooner >= LOOK_EVERY_S for sooner, later in pairwise(asked[1:]))
    assert len(asked) >= 20


def test_beside_writers_and_at_half_the_time_one_thing_is_done_at_a_time() -> None:
    clock, head = Clock(), 0
    others = Others(BuildingConfig(), lambda: head, clock)
    half = Others(BuildingConfig(max_load=0.5), lambda: head, clock)
    assert not others.leave_room()
    assert half.leave_room()
    head += 1_000
    clock.now += LOOK_FIRST_S
    assert others.leave_room()
    clock.now += LOOK_EVERY_S
    assert not others.leave_room(), "they have gone"


def test_at_full_speed_nothing_rests() -> None:
    clock = Clock()
    turns = Turns(lambda: 1.0, clock, clock.sleep)
    for _ in range(10):
        clock.now += 1.0
        turns.rest()
    assert clock.slept == []


@given(
    share=st.floats(0.05, 0.9),
    slices=st.lists(st.floats(0.0001, 0.2), min_size=1, max_size=60),
)
def test_over_time_the_share_is_kept_however_long_a_slice_takes(
    share: float, slices: list[float]
) -> None:
    clock = Clock()
    turns = Turns(lambda: share, clock, clock.sleep)
    began = clock.now
    for each in slices:
        clock.now += each
        turns.rest()
    allowed = share * (clock.now - began)
    assert sum(slices) <= allowed + share * PERIOD_S + 1e-6
    assert sum(slices) >= allowed - share * PERIOD_S * (len(clock.slept) + 1) - 1e-6


def test_to_wait_for_another_thread_is_no_work_to_rest_from() -> None:
    clock = Clock()
    turns = Turns(lambda: 0.1, clock, clock.sleep)
    with turns.waiting():
        clock.now += 5.0
    clock.now += 0.004
    turns.rest()
    assert sum(clock.slept) <= 0.004 / 0.1 + PERIOD_S


def test_whoever_rests_goes_on_when_the_others_do() -> None:
    ends = []
    for late in (0.0, 0.0007, 0.0131):
        clock = Clock()
        clock.now += late
        turns = Turns(lambda: 0.1, clock, clock.sleep)
        clock.now += 0.004
        turns.rest()
        ends.append(clock.now / PERIOD_S % 1.0)
    assert all(min(each, 1.0 - each) < 1e-6 for each in ends), ends


def test_beside_writers_the_time_between_two_slices_is_short_and_bounded() -> None:
    clock = Clock()
    turns = Turns(lambda: BESIDE_WRITERS, clock, clock.sleep)
    for _ in range(200):
        clock.now += 0.002
        turns.rest()
    assert max(clock.slept) <= 0.002 / BESIDE_WRITERS + PERIOD_S


class Written(ListHistory):
    """Of a log that is written to; its first batch takes long enough to notice that."""

    head_now = 0

    def head(self) -> int:
        self.head_now += 1_000
        return self.head_now

    def read(
        self, after: int, upto: int, facts: Collection[type[Fact]]
    ) -> Generator[Sequence[Told[Any]], None, None]:
        time.sleep(2 * LOOK_FIRST_S)
        yield from super().read(after, upto, facts)


def test_a_rebuild_beside_writers_rests_and_its_rows_are_those_of_any(read_url: str) -> None:
    feed = ListFeed(RandomFarm(16).happen(60))
    project(read_url, feed.events)
    log = Log(feed=feed, history=Written(feed), append_lock=(42, 1))
    config = BuildingConfig(beside_writers=0.2)
    (done,) = rebuild(read_url, log, [TASKS], progress=lambda _: None, config=config)
    assert done.seconds >= 2 * LOOK_FIRST_S / 0.2
    assert (done.compared, done.differing) == (True, ())
    assert stored(read_url, TASKS) == naive(TASKS, feed.events)


def test_whoever_is_told_how_far_it_is_takes_their_own_time(
    read_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(building, "Pace", partial(Pace, clock=clock, sleep=clock.sleep))
    feed = ListFeed(RandomFarm(16).happen(60))
    opened = open_building(read_url, [TASKS])["tasks"].generation
    told = list[int]()

    def tell(position: int) -> None:
        told.append(position)
        clock.now += 10.0

    half = BuildingConfig(max_load=0.5)
    history = ListHistory(feed, batch_events=1)
    assert not fill_here(read_url, history, [opened], feed.head(), half, tell)
    assert len(told) > 1
    assert max(clock.slept) <= PERIOD_S, "to be told was no work to rest from"
