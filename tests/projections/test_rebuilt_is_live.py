"""Rows depend on the events alone: not on batches, not on what was remembered, not on how."""

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.catalogue import BUSINESS, READ_MODELS, TELEMETRY
from projections.migrate import prepare
from projections.pace import BuildingConfig
from projections.read_model import ReadModel
from projections.rebuild import Log, rebuild
from tests.projections.feed import ListFeed, ListHistory
from tests.projections.history import RandomFarm, telemetry
from tests.projections.tables import naive, project, stored
from tests.stack import LiveStack

APPEND_LOCK = (42, 1)


@given(
    seed=st.integers(0, 2**32),
    batch_events=st.integers(1, 60),
    rows_kept=st.integers(1, 20),
    chunk_events=st.integers(1, 200),
)
@settings(max_examples=5, deadline=None)
def test_live_and_rebuilt_rows_are_those_of_the_naive_fold(
    session_stack: LiveStack,
    seed: int,
    batch_events: int,
    rows_kept: int,
    chunk_events: int,
) -> None:
    events = RandomFarm(seed).happen(200)
    beats = telemetry(seed, 80)
    url = session_stack.create_database()
    try:
        prepare(url)
        project(url, events, BUSINESS, batch_events=batch_events, rows_kept=rows_kept)
        project(url, beats, TELEMETRY, batch_events=batch_events, rows_kept=rows_kept)
        config = BuildingConfig(
            batch_events=batch_events, chunk_events=chunk_events, rows_kept=rows_kept
        )
        for model in READ_MODELS:
            log = events if model.source == "business" else beats
            expected = naive(model, log)
            assert stored(url, model) == expected
        for source, log in ((BUSINESS, events), (TELEMETRY, beats)):
            feed = ListFeed(log)
            door = Log(
                feed=feed, history=ListHistory(feed, batch_events), append_lock=APPEND_LOCK
            )
            for rebuilt in rebuild(url, door, source, progress=lambda _: None, config=config):
                assert (rebuilt.compared, rebuilt.differing) == (True, ())
            for model in source:
                assert stored(url, model) == naive(model, log)
    finally:
        session_stack.drop_database(url)


def test_the_random_histories_reach_every_fact_that_a_fold_knows() -> None:
    histories = [RandomFarm(seed).happen(400) for seed in range(24)]
    happened = {
        type(event.fact) for events in (*histories, telemetry(0, 50)) for event in events
    }
    known = {fact for model in READ_MODELS for fact in model.facts}
    assert known - happened == set()


@pytest.mark.parametrize("model", READ_MODELS, ids=lambda model: model.name)
def test_tables_and_rows_have_the_same_columns(read_url: str, model: ReadModel) -> None:
    with psycopg.connect(read_url) as connection:
        for table in model.tables:
            columns = connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0",
                (f"rm_{model.name}_g1.{table.name}",),
            ).fetchall()
            assert {name for (name,) in columns} == set(table.row.__struct_fields__)
