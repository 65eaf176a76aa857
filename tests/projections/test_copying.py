"""What is packed for ``COPY`` is what the statements of the live runner would have written."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from domain.tasks.events import TaskSubmitted
from projections.copying import Copying
from projections.read_model import Table, first
from projections.statements import as_parameter, table_statements
from tests.stack import LiveStack


class Row(Struct, frozen=True, kw_only=True):
    id: int
    note: str | None
    who: UUID
    other: UUID | None
    share: float
    ratio: float | None
    at: datetime
    later: datetime | None
    is_on: bool
    is_known: bool | None
    count: int | None
    title: str
    data: dict[str, Any]
    listed: tuple[dict[str, Any], ...] | None


DDL = """
    CREATE SCHEMA IF NOT EXISTS packed;
    CREATE TABLE packed.rows (
        id bigint NOT NULL, note text, who uuid NOT NULL, other uuid, share float8 NOT NULL,
        ratio float8, at timestamptz NOT NULL, later timestamptz, is_on boolean NOT NULL,
        is_known boolean, count bigint, title text NOT NULL, data jsonb NOT NULL, listed json
    )
"""
TABLE = Table(
    name="rows",
    row=Row,
    key=("id",),
    folds=(first(TaskSubmitted, lambda _event: None),),
)
ALL = "SELECT line::text FROM packed.rows AS line ORDER BY id"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["\x00", 'a"b\\', "\\u0000", "\\\x00", "\n\r\t,", "猫头鹰", "null", ""]
)
zones = st.sampled_from([UTC, timezone(timedelta(hours=8))])
NAIVE = datetime.fromisoformat  # the strategy wants its bounds without a zone
instants = st.datetimes(NAIVE("0001-01-02"), NAIVE("9999-12-30"), timezones=zones)
documents = st.dictionaries(
    texts, st.none() | st.booleans() | st.integers(-(2**40), 2**40) | texts, max_size=3
)
numbers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
made = st.builds(
    Row,
    id=numbers,
    note=st.none() | texts,
    who=st.uuids(),
    other=st.none() | st.uuids(),
    share=floats,
    ratio=st.none() | floats,
    at=instants,
    later=st.none() | instants,
    is_on=st.booleans(),
    is_known=st.none() | st.booleans(),
    count=st.none() | numbers,
    title=texts,
    data=documents,
    listed=st.none() | st.tuples(documents),
)


@pytest.fixture(scope="module")
def packed_url(session_stack: LiveStack) -> str:
    """A database with a table of all types that read models have."""
    url = session_stack.create_database()
    with psycopg.connect(url) as connection:
        connection.execute(DDL)
    return url


@given(rows=st.lists(made, min_size=1, max_size=40, unique_by=lambda row: row.id))
@settings(max_examples=60, deadline=None)
def test_any_row_is_stored_alike_by_copy_and_by_statement(
    packed_url: str, rows: list[Row]
) -> None:
    with psycopg.connect(packed_url, options="-c timezone=UTC") as connection:
        copying = Copying(connection, "packed", TABLE)
        copying.put(copying.packed(rows), rest=_nothing)
        copied = connection.execute(ALL).fetchall()
        connection.execute("DELETE FROM packed.rows")
        connection.execute(table_statements("packed", TABLE).insert, [as_parameter(rows)])
        assert connection.execute(ALL).fetchall() == copied
        connection.rollback()


def test_a_column_of_very_many_texts_is_stored_whole(packed_url: str) -> None:
    with psycopg.connect(packed_url) as connection:
        copying = Copying(connection, "packed", TABLE)
        rows = [_row(n, f"title {n} \x00") for n in range(3_000)]
        copying.put(copying.packed(rows), rest=_nothing)
        found = connection.execute("SELECT title FROM packed.rows ORDER BY id").fetchall()
        assert found == [(f"title {n} \ufffd",) for n in range(3_000)]
        connection.rollback()


def _row(number: int, title: str) -> Row:
    return Row(
        id=number,
        note=None,
        who=UUID(int=number),
        other=None,
        share=0.5,
        ratio=None,
        at=datetime(2026, 11, 22, tzinfo=UTC),
        later=None,
        is_on=True,
        is_known=None,
        count=None,
        title=title,
        data={},
        listed=None,
    )


def _nothing() -> None:
    """Nobody has to be left room."""
