"""The system log is found by level, day and literal text, and by index where it has grown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import msgspec
import psycopg
import pytest

from api import system_log_pages
from api.system_log import INSERT
from api.system_log_lines import Level, Line
from api.system_log_pages import (
    LogFilter,
    SystemLogLine,
    system_log_after,
    system_log_page,
)
from projections.page import Page
from tests.stack import LiveStack

T = TypeVar("T")
TOLD: list[tuple[str, Level, str]] = [
    ("2024-01-01T00:00:00Z", "ERROR", "数据库连接失败"),
    ("2024-01-15T10:30:00Z", "INFO", "任务已完成 100%"),
    ("2024-01-15T10:30:01Z", "ERROR", "disk a_b is full"),
    ("2024-01-31T23:59:59.999999Z", "ERROR", r"path C:\data"),
    ("2024-02-01T00:00:00Z", "WARNING", "Queue is long"),
]
ROWS = 30_000
GROW = f"""
    INSERT INTO owl_log.system_log
        (logged_at, level, program, logger, event, message, fields)
    SELECT now() - n * interval '1 minute', CASE WHEN n % 50 = 0 THEN 'ERROR' ELSE 'INFO' END,
        'p', 'l', 'e', md5(n::text) || ' words of a line that is as long as most are', '{{}}'
    FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO owl_log.system_log_counts
    SELECT (logged_at AT TIME ZONE 'UTC')::date, level, count(*) FROM owl_log.system_log
    GROUP BY 1, 2;
"""


@pytest.fixture(scope="module")
def url(session_stack: LiveStack) -> Iterator[str]:
    url = session_stack.create_database()
    lines = [
        Line(
            logged_at=datetime.fromisoformat(at),
            level=level,
            program="owl serve",
            logger="l",
            event=text,
            request_id=None,
            message=text,
            fields={},
        )
        for at, level, text in TOLD
    ]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(INSERT, {"lines": msgspec.json.encode(lines).decode()})
    yield url
    session_stack.drop_database(url)


@pytest.fixture(scope="module")
def grown(session_stack: LiveStack) -> Iterator[psycopg.Connection[Any]]:
    url = session_stack.create_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(GROW.encode())
        connection.execute("VACUUM ANALYZE")
        yield connection
    session_stack.drop_database(url)


def ask(url: str, query: Callable[..., Awaitable[T]], *arguments: Any, **named: Any) -> T:
    async def asked() -> T:
        options = "-c timezone=UTC"
        async with await psycopg.AsyncConnection.connect(url, options=options) as connection:
            return await query(connection, *arguments, **named)

    return asyncio.run(asked())


def page(url: str, page_size: int = 20, page: int = 1, **wanted: Any) -> Page[SystemLogLine]:
    return ask(url, system_log_page, LogFilter(**wanted), page=page, page_size=page_size)


def found(url: str, **wanted: Any) -> list[int]:
    """Which of ``TOLD`` are on the page, the newest first; the total says so too."""
    answer = page(url, **wanted)
    assert answer.total == len(answer.items)
    texts = [text for _, _, text in TOLD]
    return [texts.index(line.message) for line in answer.items]


def test_the_newest_line_stands_first(url: str) -> None:
    assert found(url) == [4, 3, 2, 1, 0]
    second = page(url, page=2, page_size=2)
    assert [line.level for line in second.items] == ["ERROR", "INFO"]
    assert (second.total, second.items[0].logged_at.tzinfo) == (5, UTC)
    assert page(url, page=9, page_size=2).items == ()


def test_a_level_is_that_level_and_no_other(url: str) -> None:
    assert found(url, level="ERROR") == [3, 2, 0]
    assert found(url, level="WARNING") == [4]
    assert found(url, level="CRITICAL") == []


def test_days_are_utc_days_both_ends_included(url: str) -> None:
    first, last = date(2024, 1, 1), date(2024, 1, 31)
    assert found(url, start_date=first, end_date=last) == [3, 2, 1, 0]
    assert found(url, level="ERROR", start_date=first, end_date=last) == [3, 2, 0]
    assert found(url, start_date=date(2024, 1, 2), end_date=date(2024, 1, 15)) == [2, 1]
    assert found(url, start_date=date(2024, 2, 1)) == [4]
    assert found(url, end_date=first) == [0]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("连接", [0]),
        ("任务", [1]),
        ("成", [1]),
        ("100%", [1]),
        ("%", [1]),
        ("_", [2]),
        ("a_b", [2]),
        ("\\", [3]),
        ("C:\\d", [3]),
        ("IS", [4, 2]),
        ("queue", [4]),
        ("没有", []),
        ("a%b", []),
    ],
)
def test_a_search_is_literal_in_any_script_and_case(
    url: str, search: str, expected: list[int]
) -> None:
    assert found(url, search=search) == expected


def test_filters_go_together(url: str) -> None:
    assert found(url, search="i", level="ERROR", end_date=date(2024, 1, 30)) == [2]


def test_a_download_reads_on_from_where_it_was(url: str) -> None:
    texts: list[str] = []
    cursor = None
    while lines := ask(url, system_log_after, LogFilter(level="ERROR"), cursor, limit=2):
        texts += [line.message for line in lines]
        cursor = lines[-1].cursor
    assert texts == [TOLD[number][2] for number in (0, 2, 3)]


@pytest.mark.parametrize("asked", list(system_log_pages.PAGES))
def test_a_page_of_a_grown_log_goes_by_an_index(
    grown: psycopg.Connection[Any], asked: tuple[bool, bool, bool, bool]
) -> None:
    parameters = {
        "level": "ERROR",
        "start": date.today(),  # noqa: DTZ011 - any day near the rows will do
        "end": date(2100, 1, 1),
        "pattern": "%c4ca4238a0b923820dcc%",
        "limit": 50,
        "offset": 0,
    }
    statement = "EXPLAIN (ANALYZE, FORMAT JSON) " + system_log_pages.PAGES[asked]
    row = grown.execute(statement.encode(), parameters).fetchone()
    assert row is not None
    for node in nodes(row[0][0]["Plan"]):
        if node.get("Relation Name") == "system_log":
            assert node["Node Type"] != "Seq Scan"
            looked_at = node["Actual Loops"] * (
                node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            )
            assert looked_at <= 2_000


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)
