"""The telemetry log: each message once, whatever is delivered again and however it is cut."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands.event_log.telemetry import TelemetryEntry, TelemetryLog
from domain.envelope import Actor
from domain.telemetry.events import TaskOutputReceived
from tests.commands.accounting import NOON, opened

TASK, SERVER = uuid4(), uuid4()
PARTITIONS = """
    SELECT inhrelid::regclass::text FROM pg_inherits
    WHERE inhparent = 'owl_log.telemetry'::regclass ORDER BY 1
"""


@pytest.fixture(params=["database_url", "postgres15"])
def telemetry(request: pytest.FixtureRequest) -> Iterator[TelemetryLog]:
    with opened(request.getfixturevalue(request.param)) as log:
        log.telemetry.ensure_partitions(NOON.date())
        yield log.telemetry


def entry(sequence: int, at: datetime = NOON) -> TelemetryEntry:
    return TelemetryEntry(
        stream=TASK,
        fact=TaskOutputReceived(
            task_id=TASK, attempt=1, sequence=sequence, server_id=SERVER, lines=()
        ),
        recorded_at=at,
        actor=Actor("agent", "s1"),
        command_id=uuid4(),
        correlation_id="r",
        stream_sequence=sequence,
    )


def entries(first: int, last: int) -> list[TelemetryEntry]:
    return [entry(sequence) for sequence in range(first, last + 1)]


def sequences(telemetry: TelemetryLog) -> list[int]:
    return [event.fact.sequence for event in telemetry.feed().read(0, 10_000)]


def test_entries_are_appended_in_order_and_tracked(telemetry: TelemetryLog) -> None:
    assert telemetry.tracked() == 0
    assert telemetry.append(entries(1, 3), stream_sequence=3) == (3, 3)
    assert telemetry.append(entries(4, 5), stream_sequence=6) == (2, 5)
    assert telemetry.tracked() == 6
    found = telemetry.feed().read(0, 10)
    assert [(event.position, event.fact.sequence) for event in found] == [
        (n, n) for n in range(1, 6)
    ]


def test_what_is_delivered_again_adds_nothing_even_in_another_cut(
    telemetry: TelemetryLog,
) -> None:
    telemetry.append(entries(1, 4), stream_sequence=4)
    assert telemetry.append(entries(1, 4), stream_sequence=4) == (0, 4)
    assert telemetry.append(entries(3, 6), stream_sequence=6) == (2, 6)
    assert sequences(telemetry) == [1, 2, 3, 4, 5, 6]
    assert telemetry.feed().head() == 6


def test_ingests_that_overlap_in_time_add_each_message_once(telemetry: TelemetryLog) -> None:
    cuts = [(1, 10), (1, 10), (5, 20), (11, 30), (1, 30)]
    with ThreadPoolExecutor(len(cuts)) as pool:
        for first, last in sorted(cuts):
            pool.submit(telemetry.append, entries(first, last), stream_sequence=last)
    telemetry.append(entries(1, 30), stream_sequence=30)
    found = sequences(telemetry)
    assert len(found) == len(set(found))
    assert telemetry.feed().head() == len(found)
    assert telemetry.tracked() == 30


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(cuts=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 8)), max_size=12))
def test_any_redelivery_gives_every_message_once_and_in_order(
    telemetry: TelemetryLog, cuts: list[tuple[int, int]]
) -> None:
    """Batches go back at most to what was acknowledged and forward from there."""
    source, done, before = str(uuid4()), 0, len(sequences(telemetry))
    for back, length in cuts:
        first = max(1, done + 1 - back)
        last = first + length - 1
        telemetry.append(entries(first, last), stream_sequence=last, source=source)
        done = max(done, last)
    assert sequences(telemetry)[before:] == list(range(1, done + 1))


def test_a_stream_that_was_wiped_counts_anew_under_another_name(
    telemetry: TelemetryLog,
) -> None:
    telemetry.append(entries(1, 5), stream_sequence=5, source="reports@1")
    telemetry.append(entries(1, 2), stream_sequence=2, source="reports@2")
    assert (telemetry.tracked("reports@1"), telemetry.tracked("reports@2")) == (5, 2)
    assert len(sequences(telemetry)) == 7


def test_a_day_without_a_partition_gets_one_when_it_comes(telemetry: TelemetryLog) -> None:
    later = NOON + timedelta(days=40)
    assert telemetry.append([entry(1, later)], stream_sequence=1) == (1, 1)
    assert sequences(telemetry) == [1]


def test_partitions_can_be_ensured_again_and_by_several_at_once(database_url: str) -> None:
    with opened(database_url) as log, ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(log.telemetry.ensure_partitions, NOON.date()) for _ in "1234"]:
            done.result()
        log.telemetry.ensure_partitions(NOON.date() + timedelta(days=1))
    with psycopg.connect(database_url) as connection:
        names = [name for (name,) in connection.execute(PARTITIONS)]
    assert names == [f"owl_log.telemetry_{date(2026, 11, day):%Y%m%d}" for day in range(21, 27)]


def test_positions_go_on_after_old_days_are_gone(database_url: str) -> None:
    with opened(database_url) as log:
        log.telemetry.append(entries(1, 3), stream_sequence=3)
        with psycopg.connect(database_url) as connection:
            connection.execute("DROP TABLE owl_log.telemetry_20261122")
        assert log.telemetry.append([entry(4)], stream_sequence=4) == (1, 4)


def test_readers_of_the_process_see_telemetry_without_asking_the_database(
    database_url: str,
) -> None:
    with opened(database_url) as log:
        feed = log.telemetry.feed()
        feed.read(0, 1)
        told = entry(1)
        log.telemetry.append([told, entry(2)], stream_sequence=2)
        held = feed.read(0, 9)
        with opened(database_url) as stranger:
            assert list(stranger.telemetry.feed().read(0, 9)) == list(held)
        assert held[0].fact == told.fact
