"""Statements that commit together: all of them or nothing, however long they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Final

import psycopg
import pytest

from projections import one_trip
from projections.one_trip import OneTrip

ADD: Final = "INSERT INTO words (word, n) VALUES (%s, %s::bigint)"
LONG: Final = "INSERT INTO words (word, n) SELECT %s, length(%s)"
FAIL: Final = "SELECT 1 / %s::int"
MiB: Final = 1024 * 1024


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as opened:
        opened.execute("CREATE TABLE words (word text, n bigint)")
        yield opened


def stored(connection: psycopg.Connection[Any]) -> list[tuple[str, int]]:
    return connection.execute("SELECT word, n FROM words ORDER BY n").fetchall()


def prepared(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute(
        "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'owl%'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_all_that_is_sent_together_is_there_or_nothing(
    connection: psycopg.Connection[Any],
) -> None:
    trip = OneTrip(connection)
    trip.commit([(ADD, ("owl", "1")), (ADD, ("猫头鹰", "2"))])
    with pytest.raises(psycopg.errors.DivisionByZero):
        trip.commit([(ADD, ("late", "3")), (FAIL, ("0",)), (ADD, ("later", "4"))])
    assert stored(connection) == [("owl", 1), ("猫头鹰", 2)]


def test_after_a_refusal_the_next_is_taken(connection: psycopg.Connection[Any]) -> None:
    trip = OneTrip(connection)
    for number in range(3):
        with pytest.raises(psycopg.errors.DivisionByZero):
            trip.commit([(FAIL, ("0",)), (ADD, ("never", "0"))])
        with pytest.raises(psycopg.errors.UndefinedTable):
            trip.commit([("INSERT INTO nowhere VALUES (%s)", ("0",))])
        trip.commit([(ADD, ("owl", str(number)))])
    assert stored(connection) == [("owl", 0), ("owl", 1), ("owl", 2)]


def test_of_two_refusals_the_first_is_told_even_if_the_second_cannot_be_prepared(
    connection: psycopg.Connection[Any],
) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        OneTrip(connection).commit(
            [(FAIL, ("0",)), ("INSERT INTO nowhere VALUES (%s)", ("0",))]
        )


def test_what_fails_at_the_commit_itself_is_not_there(
    connection: psycopg.Connection[Any],
) -> None:
    connection.execute("ALTER TABLE words ADD UNIQUE (n) DEFERRABLE INITIALLY DEFERRED")
    trip = OneTrip(connection)
    with pytest.raises(psycopg.Error, match="duplicate key"):
        trip.commit([(ADD, ("owl", "1")), (ADD, ("owl", "1"))])
    assert stored(connection) == []
    trip.commit([(ADD, ("owl", "1"))])


def test_megabytes_are_taken_at_once(connection: psycopg.Connection[Any]) -> None:
    word = "o" * (4 * MiB)
    OneTrip(connection).commit([(LONG, (word, word))] * 3)
    assert [n for _, n in stored(connection)] == [4 * MiB] * 3


def test_a_statement_is_prepared_once_and_only_so_many_stay_so(
    connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_trip, "PREPARED_MAX", 3)
    trip = OneTrip(connection)
    for number in range(8):
        trip.commit([(ADD, ("owl", str(number))), (f"SELECT %s::int + {number}", ("1",))])
        assert prepared(connection) <= 3 + 2
    assert len(stored(connection)) == 8


def test_a_server_that_is_lost_is_out_of_reach(
    connection: psycopg.Connection[Any], database_url: str
) -> None:
    trip, backend = OneTrip(connection), connection.info.backend_pid
    trip.commit([(ADD, ("owl", "1"))])
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", (backend,))
    with pytest.raises(psycopg.OperationalError):
        trip.commit([(ADD, ("late", "2")), (ADD, ("later", "3"))])
    with psycopg.connect(database_url) as again:
        assert stored(again) == [("owl", 1)]


def test_a_server_lost_while_it_works_is_out_of_reach(
    connection: psycopg.Connection[Any], database_url: str
) -> None:
    trip, backend = OneTrip(connection), connection.info.backend_pid
    with psycopg.connect(database_url, autocommit=True) as other:
        end = threading.Timer(
            0.2, other.execute, ["SELECT pg_terminate_backend(%s)", [backend]]
        )
        end.start()
        with pytest.raises(psycopg.OperationalError):
            trip.commit([(ADD, ("late", "2")), ("SELECT pg_sleep(%s::int)", ("30",))])
        end.join()
        assert stored(other) == []
