"""Lines of every level asked for reach the table; none ever holds the program up."""

import logging
import threading
import time
from collections.abc import Callable
from io import StringIO
from typing import Any

import psycopg
import pytest
import structlog

from api.system_log import Config, SystemLog
from tests.stack import LiveStack

LINES = """
    SELECT level, program, logger, event, request_id, message, fields
    FROM owl_log.system_log ORDER BY line_id
"""
COUNTS = "SELECT day, level, n FROM owl_log.system_log_counts ORDER BY day, level"
FAST = Config(gather_s=0.01, retry_first_s=0.05, retry_most_s=0.1)
NOWHERE = "host=127.0.0.1 port=1 dbname=none"


def logger(name: str = "tests.owl") -> Any:
    return structlog.stdlib.get_logger(name)


def until(holds: Callable[[], bool], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        pause.wait(0.01)


def lines(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(LINES).fetchall()


def test_a_line_is_kept_with_who_said_it_and_for_which_request(
    database_url: str, terminal: StringIO
) -> None:
    with SystemLog(database_url, program="owl serve", config=FAST):
        logger().warning("队列过长", request_id="req-1", waiting=7, server="gpu-1")
    (line,) = lines(database_url)
    assert line == (
        "WARNING",
        "owl serve",
        "tests.owl",
        "队列过长",
        "req-1",
        "队列过长 request_id=req-1 waiting=7 server=gpu-1",
        {"waiting": 7, "server": "gpu-1"},
    )
    assert "队列过长" in terminal.getvalue()


def test_libraries_speak_there_too_and_exceptions_show_no_variables(
    database_url: str, terminal: StringIO
) -> None:
    with SystemLog(database_url, program="p", config=FAST):
        hush = "tr0ub4dor"
        try:
            int(f"{len(hush)} alice@example.com")
        except ValueError:
            logging.getLogger("some.library").exception("it failed: %s", 42)
    (line,) = lines(database_url)
    assert line[:4] == ("ERROR", "p", "some.library", "it failed: 42")
    assert "Traceback" in line[6]["exception"]
    assert "ValueError: invalid literal" in line[5]
    for written in (str(line), terminal.getvalue()):
        assert hush not in written
        assert "alice" not in written


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("DEBUG", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]),
        ("INFO", ["INFO", "WARNING", "ERROR", "CRITICAL"]),
        ("WARNING", ["WARNING", "ERROR", "CRITICAL"]),
        ("CRITICAL", ["WARNING", "ERROR", "CRITICAL"]),
    ],
)
def test_warnings_are_always_kept_and_less_by_setting(
    database_url: str, terminal: StringIO, level: str, expected: list[str]
) -> None:
    logging.getLogger().setLevel(logging.ERROR)
    with SystemLog(database_url, program="p", level=level, config=FAST):
        for method in ("debug", "info", "warning", "error", "critical"):
            getattr(logger(), method)("x")
        logger("api.access").info("request")
    assert [line[0] for line in lines(database_url)] == expected
    with psycopg.connect(database_url) as connection:
        counts = connection.execute(COUNTS).fetchall()
    assert {row[1]: row[2] for row in counts} == dict.fromkeys(expected, 1)


def test_without_the_database_nothing_waits_and_what_is_lost_is_counted(
    terminal: StringIO,
) -> None:
    config = Config(
        lines_waiting_max=100, batch_max=10, gather_s=0.01, retry_first_s=0.05, close_s=0.2
    )
    system_log = SystemLog(NOWHERE, program="p", config=config)
    with system_log:
        began = time.monotonic()
        for number in range(5_000):
            logger().info("x", number=number)
        took_s = time.monotonic() - began
    assert took_s < 60, "a wait of 20 ms for each makes 100 s"
    assert 4_800 < system_log.dropped < 5_000
    assert terminal.getvalue().count('"number"') == 5_000
    assert terminal.getvalue().count("system_log.out_of_reach") == 1


def test_a_database_that_comes_back_gets_what_waited_and_hears_of_the_rest(
    session_stack: LiveStack, terminal: StringIO
) -> None:
    url = session_stack.create_database()
    away = url.replace("dbname=", "dbname=not_")
    system_log = SystemLog(
        away, program="p", config=config_of(lines_waiting_max=50, batch_max=50)
    )
    with system_log:
        for number in range(200):
            logger().warning("x", number=number)
        system_log._conninfo = url
        until(lambda: any(line[3] == "system_log.lines_dropped" for line in lines(url)))
    kept = lines(url)
    numbers = [line[6]["number"] for line in kept if line[3] == "x"]
    told = [line[6]["count"] for line in kept if line[3] == "system_log.lines_dropped"]
    assert numbers == sorted(numbers)
    assert len(numbers) + system_log.dropped >= 200
    assert sum(told) == system_log.dropped > 0
    session_stack.drop_database(url)


def test_a_line_that_cannot_be_written_fails_alone(
    database_url: str, terminal: StringIO
) -> None:
    broken = logging.LogRecord("x", logging.ERROR, "p", 1, "%d", ("no number",), None)
    system_log = SystemLog(database_url, program="p", config=FAST)
    with system_log:
        logger().warning("first", text="\0 \ud800", huge="x" * 100_000, many=list(range(9_999)))
        system_log.handle(broken)
        logger().warning("last")
    kept = {line[3]: line for line in lines(database_url)}
    told = kept.pop("system_log.lines_dropped", None)
    assert told is None or told[6] == {"count": 1}
    assert (list(kept), system_log.dropped) == (["first", "last"], 1)
    first = kept["first"]
    assert len(first[5]) <= 4_000
    assert len(str(first[6])) < 20_000


def config_of(**changes: Any) -> Config:
    return Config(**({"gather_s": 0.01, "retry_first_s": 0.05, "retry_most_s": 0.1} | changes))
