"""Rows depend on the events alone: not on shares, batches, chunks, or what was remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.ports import EventHistory
from projections.catalogue import BUSINESS, READ_MODELS, TELEMETRY
from projections.filling import fill_here
from projections.migrate import prepare
from projections.pace import BuildingConfig
from projections.projector import Generation
from projections.read_model import ReadModel
from projections.rebuild import Log, rebuild
from tests.projections.feed import ListFeed, ListHistory
from tests.projections.history import RandomFarm, telemetry
from tests.projections.tables import naive, project, stored
from tests.stack import LiveStack

CUTS = {
    "seed": st.integers(0, 2**32),
    "workers": st.integers(1, 8),
    "order": st.permutations(range(8)),
    "live_events": st.integers(1, 60),
    "read_events": st.integers(1, 60),
    "chunk_events": st.integers(1, 100),
    "rows_kept": st.integers(1, 60),
}
FEW = settings(max_examples=4, deadline=None)
MANY = settings(FEW, max_examples=200)
APPEND_LOCK = (42, 1)


class Shares:
    """``projections.filling.Filling`` by as many builders as there would be workers.

    They are done in any order.
    """

    def __init__(self, workers: int, order: Sequence[int]) -> None:
        self.workers = workers
        self.order = [each for each in order if each < workers]

    def __call__(
        self,
        conninfo: str,
        history: EventHistory,
        generations: Sequence[Generation],
        upto: int,
        config: BuildingConfig,
        tell: Callable[[int], None],
    ) -> dict[str, str]:
        failed: dict[str, str] = {}
        for first in self.order:
            share = generations[first :: self.workers]
            if share:
                failed |= fill_here(conninfo, history, share, upto, config, tell)
        return failed


def build_and_compare(
    url: str,
    *,
    seed: int,
    workers: int,
    order: Sequence[int],
    live_events: int,
    read_events: int,
    chunk_events: int,
    rows_kept: int,
) -> None:
    config = BuildingConfig(
        chunk_events=chunk_events, batch_events=read_events, rows_kept=rows_kept
    )
    logs = {BUSINESS: RandomFarm(seed).happen(120), TELEMETRY: telemetry(seed, 40)}
    for models, events in logs.items():
        feed = ListFeed(events)
        door = Log(feed=feed, history=ListHistory(feed, read_events), append_lock=APPEND_LOCK)
        expected = {model.name: naive(model, events) for model in models}
        project(url, events, models, batch_events=live_events, rows_kept=rows_kept)
        assert {model.name: stored(url, model) for model in models} == expected
        done = rebuild(
            url,
            door,
            models,
            progress=lambda _: None,
            config=config,
            filling=Shares(workers, order),
        )
        assert all(each.compared and not each.differing for each in done)
        assert {model.name: stored(url, model) for model in models} == expected


def in_a_fresh_database(stack: LiveStack, cuts: dict[str, Any]) -> None:
    url = stack.create_database()
    try:
        prepare(url)
        build_and_compare(url, **cuts)
    finally:
        stack.drop_database(url)


@FEW
@given(**CUTS)
def test_however_any_log_is_cut_live_and_rebuilt_rows_are_those_of_the_naive_fold(
    session_stack: LiveStack, **cuts: Any
) -> None:
    in_a_fresh_database(session_stack, cuts)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@MANY
@given(**CUTS)
def test_however_any_log_is_cut_two_hundred_times(
    session_stack: LiveStack, **cuts: Any
) -> None:
    in_a_fresh_database(session_stack, cuts)


@pytest.mark.parametrize("model", READ_MODELS, ids=lambda model: model.name)
def test_tables_and_rows_have_the_same_columns(read_url: str, model: ReadModel) -> None:
    with psycopg.connect(read_url) as connection:
        for table in model.tables:
            columns = connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0",
                (f"rm_{model.name}_g1.{table.name}",),
            ).fetchall()
            assert {name for (name,) in columns} == set(table.row.__struct_fields__)
