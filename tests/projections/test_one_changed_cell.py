"""One cell that somebody has changed is named, whichever it is, and nothing else."""

from __future__ import annotations

from random import Random

import psycopg
from psycopg import sql
from psycopg.errors import CheckViolation

from projections.catalogue import BUSINESS, TELEMETRY
from projections.read_model import ReadModel
from projections.rebuild import Log, rebuild
from projections.statements import schema_of
from projections.verifying import verify
from tests.projections.feed import ListFeed, ListHistory
from tests.projections.history import RandomFarm, telemetry
from tests.projections.tables import project

TYPES = """
    SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
    WHERE attrelid = %s::regclass AND attnum > 0
"""
OTHERWISE = {
    "text": "coalesce({0}, '') || '?'",
    "smallint": "coalesce({0}, 0) + 1",
    "integer": "coalesce({0}, 0) + 1",
    "bigint": "coalesce({0}, 0) + 1",
    "real": "coalesce({0}, 0) + 1",
    "double precision": "coalesce({0}, 0) + 1",
    "boolean": "NOT coalesce({0}, false)",
    "timestamp with time zone": "coalesce({0}, now()) + interval '1 microsecond'",
    "uuid": "gen_random_uuid()",
    "jsonb": "jsonb_build_array({0})",
    "uuid[]": "array_append({0}, gen_random_uuid())",
    "text[]": "array_append({0}, '?')",
}
"""Another value than the one that is there."""


def columns_of(url: str, model: ReadModel, relation: str) -> tuple[list[str], dict[str, str]]:
    """The key of a relation, and the types of its other columns."""
    keys = {table.name: list(table.key) for table in model.tables}
    keys |= {tally.name: list(tally.columns) for tally in model.tallies}
    key = keys[relation]
    with psycopg.connect(url) as connection:
        types: dict[str, str] = dict(
            connection.execute(TYPES, (f"read.{relation}",)).fetchall()
        )
    return key, {name: kind for name, kind in types.items() if name not in key}


def changed(
    url: str, model: ReadModel, relation: str, dice: Random
) -> tuple[dict[str, str], str]:
    """Change one cell of the rows that are kept; which one."""
    key, others = columns_of(url, model, relation)
    table = sql.Identifier(schema_of(model.name, 1), relation)
    named = sql.SQL(", ").join(map(sql.Identifier, key))
    with psycopg.connect(url) as connection:
        found = connection.execute(sql.SQL("SELECT {} FROM {}").format(named, table)).fetchall()
        row = dice.choice(sorted(found, key=str))
        this = sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), value)
            for name, value in zip(key, row, strict=True)
        )
        for column in dice.sample(sorted(others), len(others)):
            value = sql.SQL(OTHERWISE[others[column]]).format(sql.Identifier(column))
            change = sql.SQL("UPDATE {} SET {} = {} WHERE {}").format(
                table, sql.Identifier(column), value, this
            )
            try:
                with connection.transaction():
                    assert connection.execute(change).rowcount == 1
            except CheckViolation:
                continue  # that, the table itself refuses
            return dict(zip(key, map(str, row), strict=True)), column
    raise AssertionError(f"no cell of {relation} can be changed")


def test_one_changed_cell_is_named_by_table_key_and_column(read_url: str) -> None:
    dice = Random(52)
    logs = {BUSINESS: RandomFarm(5).happen(200), TELEMETRY: telemetry(52, 60)}
    for models, story in logs.items():
        feed = ListFeed(story)
        project(read_url, story, models)
        door = Log(feed=feed, history=ListHistory(feed), append_lock=(42, 1))
        rebuild(read_url, door, models, progress=lambda _: None)
        for model in models:
            for relation in model.relations:
                find_the_changed(read_url, feed, model, relation, dice)
            assert verify(read_url, feed, model).differing == {}


def find_the_changed(
    url: str, feed: ListFeed, model: ReadModel, relation: str, dice: Random
) -> None:
    schema = schema_of(model.name, 1)
    copy, table = sql.Identifier(schema, "before"), sql.Identifier(schema, relation)
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("CREATE TABLE {} AS TABLE {}").format(copy, table))
    key, column = changed(url, model, relation, dice)
    found = verify(url, feed, model, limit=10)
    told = [
        (each.table, {name: str(value) for name, value in each.key.items()}, each.columns)
        for each in found.differences
    ]
    assert told == [(relation, key, (column,))]
    assert list(found.differing) == [relation]
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("TRUNCATE {}").format(table))
        connection.execute(sql.SQL("INSERT INTO {} TABLE {}").format(table, copy))
        connection.execute(sql.SQL("DROP TABLE {}").format(copy))
