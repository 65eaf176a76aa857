"""What is asked of a long log is answered along an index, or stretch by stretch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.sql import SQL

from projections.audit.entity import OF_STREAM
from projections.audit.keeping import DUE, LAST_KEPT
from projections.audit.snapshots import FACTS, NEWEST
from projections.audit.story import RECORDED_BY, STRETCH, Filter, look, stretch
from projections.audit.trace import CAUSES, trace_correlation, trace_position
from tests.domain.cast import NOON

pytestmark = pytest.mark.anyio

EVENTS = 30_000
RARE = 21_217
STREAM = UUID(int=7)
FILL = """
    INSERT INTO owl_log.events (notification_id, originator_id, originator_version, topic,
        state, recorded_at, actor, command_id, correlation_id, causation_id)
    SELECT n, lpad(to_hex(mod(n, 5000)), 32, '0')::uuid, n / 5000 + 1,
        CASE n WHEN %(rare)s THEN 'test.rare/1' ELSE 'test.usual/1' END,
        '{}', '2026-03-01T12:00:00Z', 'user:x', gen_random_uuid(), 'request-' || n / 10,
        CASE WHEN mod(n, 10) > 0 THEN n - 1 END
    FROM generate_series(1, %(events)s) AS n
"""


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as writing:
        writing.execute(FILL, {"rare": RARE, "events": EVENTS})
        # as the server does by itself, in a minute
        writing.execute("SELECT brin_summarize_new_values('owl_log.events_request')")
        writing.execute("ANALYZE owl_log.events")
    async with await psycopg.AsyncConnection.connect(
        database_url, autocommit=True, options="-c timezone=UTC"
    ) as reading:
        yield reading


async def plan(
    connection: psycopg.AsyncConnection[Any], statement: Any, parameters: dict[str, Any]
) -> str:
    """The plan that is kept, whatever the parameters."""
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    explain = SQL("EXPLAIN ") + (SQL(statement) if isinstance(statement, str) else statement)
    cursor = await connection.execute(explain, parameters)
    return "\n".join(row[0] for row in await cursor.fetchall())


async def test_every_look_goes_along_an_index(
    connection: psycopg.AsyncConnection[Any],
) -> None:
    near = {"after": 15_000, "until": 15_000 + STRETCH, "limit": 50}
    whole = {"after": 0, "until": EVENTS, "limit": 50}
    for newest_first in (False, True):
        for wanted in (
            Filter(tag="test.rare/1"),
            Filter(actor="user:y"),
            Filter(user_id=STREAM),
            Filter(amount_fen=1),
        ):
            statement, parameters = stretch(wanted, newest_first=newest_first)
            found = await plan(connection, statement, parameters | near)
            assert "events_position" in found, found
            assert "Seq Scan" not in found
        statement, parameters = stretch(Filter(), newest_first=newest_first)
        assert "events_position" in await plan(connection, statement, parameters | whole)
        statement, parameters = stretch(
            Filter(streams=(STREAM,), tag="test.*"), newest_first=newest_first
        )
        assert "events_stream" in await plan(connection, statement, parameters | whole)
    of_stream = {"stream": STREAM, "version": 0, "limit": 1_000}
    assert "events_stream" in await plan(connection, OF_STREAM, of_stream)
    causes = await plan(connection, CAUSES, {"position": EVENTS})
    assert "Seq Scan" not in causes


async def test_a_state_as_of_a_position_or_time_is_found_along_indexes(
    connection: psycopg.AsyncConnection[Any],
) -> None:
    place: dict[str, Any] = {"fold": b"f" * 16, "stream": STREAM, "at": 15_000}
    for statement, parameters, index in (
        (NEWEST, place, "snapshots_place"),
        (LAST_KEPT, place, "snapshots_place"),
        (FACTS, {"stream": STREAM, "version": 3, "limit": 128}, "events_stream"),
        (RECORDED_BY, {"moment": NOON}, "events_position"),
        (DUE, {"after": 1, "until": 2_001, "every": 64, "erased": ""}, "events_position"),
    ):
        found = await plan(connection, statement, parameters)
        assert index in found, found
        assert "Seq Scan" not in found, found


@pytest.mark.parametrize("at", [1, EVENTS // 2, EVENTS])
async def test_a_state_reads_no_more_of_a_stream_than_is_asked_for(
    connection: psycopg.AsyncConnection[Any], at: int
) -> None:
    """A walk along the stream's index ends by number: a bound on positions would not end it."""
    wanted = {"stream": STREAM, "version": at // 5_000, "limit": 2}
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {FACTS}"
    found = (await (await connection.execute(explain.encode(), wanted)).fetchall())[0][0][0]
    assert found["Plan"]["Actual Rows"] <= 2
    assert found["Plan"]["Shared Hit Blocks"] + found["Plan"]["Shared Read Blocks"] < 10


@pytest.mark.parametrize("newest_first", [False, True])
async def test_what_a_request_led_to_is_found_in_a_few_pages_of_the_log(
    connection: psycopg.AsyncConnection[Any],
    newest_first: bool,  # noqa: FBT001
) -> None:
    pages = await read_by(connection, Filter(correlation="request-1717"), newest_first)
    whole = await connection.execute("SELECT pg_relation_size('owl_log.events') / 8192")
    assert pages < (await whole.fetchall())[0][0] / 4
    assert await read_by(connection, Filter(correlation="nobody"), newest_first) < pages


async def read_by(
    connection: psycopg.AsyncConnection[Any],
    wanted: Filter,
    newest_first: bool,  # noqa: FBT001
) -> int:
    """How many pages a look through the whole log touches."""
    statement, parameters = stretch(wanted, newest_first=newest_first)
    whole = {"after": 0, "until": EVENTS, "limit": 1_001}
    explain = SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ") + statement
    found = (await (await connection.execute(explain, parameters | whole)).fetchall())[0][0][0]
    assert "events_request" in str(found), found
    plan: dict[str, int] = found["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


async def test_a_trace_of_a_request_is_whole_and_asks_the_log_once(
    connection: psycopg.AsyncConnection[Any],
) -> None:
    for found in (
        await trace_correlation(connection, "request-1717", enough=lambda: True),
        await trace_position(connection, 17_173, enough=lambda: True),
    ):
        assert [each.entry.position for each in found.events] == list(range(17_170, 17_180))
        assert found.is_complete


@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_rare_event_is_found_stretch_by_stretch(
    connection: psycopg.AsyncConnection[Any],
    newest_first: bool,  # noqa: FBT001
) -> None:
    wanted, found, looks = Filter(tag="test.rare/1"), list[int](), 0
    while True:
        part = await look(connection, wanted, 5, newest_first=newest_first, enough=lambda: True)
        looks += 1
        found += [each.position for each in part.entries]
        if part.onwards is None:
            break
        until, after = (part.onwards, 0) if newest_first else (None, part.onwards)
        wanted = Filter(tag="test.rare/1", after=after, until=until)
    assert found == [RARE]
    assert looks == EVENTS // STRETCH


async def test_a_look_without_a_bound_of_time_goes_to_the_end(
    connection: psycopg.AsyncConnection[Any],
) -> None:
    found = await look(connection, Filter(tag="test.rare/1"), 5)
    assert [each.position for each in found.entries] == [RARE]
    assert found.onwards is None
    page = await look(connection, Filter(after=100), 3, newest_first=True)
    assert [each.position for each in page.entries] == [EVENTS, EVENTS - 1, EVENTS - 2]
    assert page.onwards == EVENTS - 3
