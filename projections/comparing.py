"""Compares two generations as of one position: by 256 checksums a table, then row by row.

Rows of one key fall into one bucket on both sides, so a difference is looked for in the few
buckets that differ. Neither side is made to wait: a snapshot holds the live rows at the
position that their checkpoint says.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from hashlib import sha256
from itertools import islice
from typing import Any, Final

import msgspec
import psycopg
from msgspec import Struct
from psycopg import sql

from projections.read_model import ReadModel
from projections.statements import schema_of
from projections.switching import Live, live_of

BUCKETS: Final = 256
SNAPSHOT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
SESSION: Final = """
    SET timezone = 'UTC'; SET statement_timeout = 0; SET max_parallel_workers_per_gather = 0
"""
CHECKSUMS: Final = sql.SQL("""
    SELECT (hashtextextended(({key})::text, 0) & 255)::int AS bucket,
        count(*) || ':' || sum(hashtextextended(line::text, 0))
    FROM {table} AS line {where} GROUP BY bucket
""")
ROWS: Final = sql.SQL("""
    SELECT to_json({key})::text, to_json(line)::text FROM {table} AS line
    WHERE (hashtextextended(({key})::text, 0) & 255)::int = %(bucket)s {where}
""")

Buckets = dict[str, dict[int, str]]
"""For each table the checksum of each bucket that is not empty."""


class Side(Struct, frozen=True):
    """One generation, as one connection sees it."""

    connection: psycopg.Connection[Any]
    generation: int


class Comparison(Struct, frozen=True, kw_only=True):
    """``differing`` names for each table that differs the buckets that do."""

    checksum: str
    differing: dict[str, tuple[int, ...]]


class Difference(Struct, frozen=True, kw_only=True):
    """One row that is not the same; ``None`` where it is missing."""

    table: str
    key: dict[str, Any]
    live: dict[str, Any] | None
    other: dict[str, Any] | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Which columns differ; all of them where the row is missing."""
        live, other = self.live or {}, self.other or {}
        names = dict.fromkeys([*live, *other])
        return tuple(name for name in names if live.get(name) != other.get(name))


@contextmanager
def live_snapshot(conninfo: str, read_model: ReadModel) -> Iterator[tuple[Side, Live]]:
    """The live rows as of one moment, and which position that is."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(SNAPSHOT)
        connection.execute(SESSION)
        live = live_of(connection, read_model)
        yield Side(connection, live.generation), live


@contextmanager
def shown(conninfo: str, generation: int) -> Iterator[Side]:
    """The rows of a generation that nobody else writes meanwhile."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(SESSION)
        yield Side(connection, generation)


def buckets_of(side: Side, read_model: ReadModel) -> Buckets:
    """The checksums of one side."""
    return {
        relation.name: dict(
            side.connection.execute(relation.of(side.generation, CHECKSUMS)).fetchall()
        )
        for relation in _relations(read_model)
    }


def compare(
    live: Side, other: Side, read_model: ReadModel, *, at_once: bool = False
) -> Comparison:
    """By checksums; both sides ``at_once`` only where each has a connection of its own."""
    with ThreadPoolExecutor(1, "comparing") as threads:
        asked = threads.submit(buckets_of, live, read_model)
        if not at_once:
            wait([asked])
        ours, theirs = buckets_of(other, read_model), asked.result()
    differing = {}
    for name, mine in ours.items():
        keys = mine.keys() | theirs[name].keys()
        wrong = sorted(each for each in keys if mine.get(each) != theirs[name].get(each))
        if wrong:
            differing[name] = tuple(wrong)
    return Comparison(checksum=digest(ours), differing=differing)


def differences(
    live: Side, other: Side, read_model: ReadModel, comparison: Comparison, limit: int
) -> tuple[Difference, ...]:
    """The first ``limit`` rows that differ."""

    def found() -> Iterator[Difference]:
        for relation in _relations(read_model):
            for bucket in comparison.differing.get(relation.name, ()):
                theirs = relation.rows(live, bucket)
                ours = relation.rows(other, bucket)
                for key in sorted(theirs.keys() | ours.keys()):
                    if theirs.get(key) != ours.get(key):
                        yield _difference(relation, key, theirs.get(key), ours.get(key))

    return tuple(islice(found(), limit))


def digest(buckets: Buckets) -> str:
    """One short text for all tables."""
    parts = [(name, sorted(table.items())) for name, table in sorted(buckets.items())]
    return sha256(repr(parts).encode()).hexdigest()[:16]


class _Relation(Struct, frozen=True):
    read_model: str
    name: str
    key: tuple[str, ...]
    is_tally: bool

    def of(self, generation: int, statement: sql.SQL) -> sql.Composed:
        columns = sql.SQL(", ").join(sql.Identifier("line", name) for name in self.key)
        only = ("AND" if statement is ROWS else "WHERE") + " n <> 0"
        return statement.format(
            key=sql.SQL("ROW({})").format(columns),
            table=sql.Identifier(schema_of(self.read_model, generation), self.name),
            where=sql.SQL(only) if self.is_tally else sql.SQL(""),  # 0 says the same as no row
        )

    def rows(self, side: Side, bucket: int) -> dict[str, str]:
        statement = self.of(side.generation, ROWS)
        return dict(side.connection.execute(statement, {"bucket": bucket}).fetchall())


def _relations(read_model: ReadModel) -> Iterator[_Relation]:
    for table in read_model.tables:
        yield _Relation(read_model.name, table.name, table.key, is_tally=False)
    for tally in read_model.tallies:
        yield _Relation(read_model.name, tally.name, tally.columns, is_tally=True)


def _difference(
    relation: _Relation, key: str, live: str | None, other: str | None
) -> Difference:
    values = msgspec.json.decode(key, type=dict[str, Any]).values()
    return Difference(
        table=relation.name,
        key=dict(zip(relation.key, values, strict=True)),
        live=None if live is None else msgspec.json.decode(live),
        other=None if other is None else msgspec.json.decode(other),
    )
