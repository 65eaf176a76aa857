"""What the tables hold, and what they ought to hold by the simplest fold there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg
from psycopg import sql

from domain.catalogue import encode
from domain.envelope import Recorded
from domain.facts import tag_of
from projections.catalogue import BUSINESS
from projections.comparing import Buckets, buckets_of, shown
from projections.read_model import ReadModel
from projections.runner import Runner, RunnerConfig
from projections.statements import as_parameter
from tests.projections.feed import ListFeed

Tables = dict[str, dict[Any, Any]]

STOPPED = "SELECT read_model, stopped_at FROM owl_read.checkpoints WHERE stopped_at IS NOT NULL"
INTO_THE_LOG = """
    INSERT INTO owl_log.events (notification_id, originator_id, originator_version, topic,
        recorded_at, actor, command_id, correlation_id, causation_id, state)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""


def write_log(url: str, events: Sequence[Recorded[Any]]) -> None:
    """Put events into the log, for what a query reads there; those that are there stay."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            INTO_THE_LOG,
            [
                (
                    *(each.position, each.stream, each.version, tag_of(each.fact)),
                    *(each.recorded_at, each.actor, each.command_id, each.correlation_id),
                    *(each.causation_id, encode(each.fact)),
                )
                for each in events
            ],
        )


def project(
    url: str,
    events: Sequence[Recorded[Any]],
    read_models: Sequence[ReadModel] = BUSINESS,
    *,
    batch_events: int = 1_000,
    rows_kept: int = 1_000,
) -> None:
    """Let a runner bring ``read_models`` to the end of ``events``; none may stop."""
    config = RunnerConfig(batch_events=batch_events, rows_kept=rows_kept)
    runner = Runner(ListFeed(events), url, read_models, projected=None, config=config)
    finish(runner)
    runner.close()
    with psycopg.connect(url) as connection:
        assert connection.execute(STOPPED).fetchall() == []


def finish(runner: Runner) -> None:
    while runner.step():
        pass


def naive(read_model: ReadModel, events: Sequence[Recorded[Any]]) -> Tables:
    """One event after another into a dictionary; tallies counted at the end."""
    tables: Tables = {}
    for table in read_model.tables:
        rows: dict[Any, Any] = {}
        folds = {fold.fact: (table.key_of(fold.fact), fold.change) for fold in table.folds}
        for event in events:
            if type(event.fact) in folds:
                key_of, change = folds[type(event.fact)]
                rows[key_of(event)] = change(rows.get(key_of(event)), event)
        tables[table.name] = {
            key: msgspec.json.decode(as_parameter([row]), type=list[table.row])[0]  # type: ignore[name-defined]
            for key, row in rows.items()
            if row is not None
        }
    for tally in read_model.tallies:
        counted: Counter[Any] = Counter()
        for row in tables[tally.of.name].values():
            key = tuple(map(str, tally.named(tally.group(row)).values()))
            counted[key] += tally.amount(row) if tally.amount else 1
        tables[tally.name] = {key: n for key, n in counted.items() if n}
    return tables


def stored(url: str, read_model: ReadModel) -> Tables:
    """What queries see."""
    tables: Tables = {}
    with psycopg.connect(url, options="-c timezone=UTC") as connection:
        for table in read_model.tables:
            key_of = table.key_of_row()
            rows = msgspec.json.decode(
                _all(connection, table.name),
                type=list[table.row],  # type: ignore[name-defined]
            )
            tables[table.name] = {key_of(row): row for row in rows}
        for tally in read_model.tallies:
            found = msgspec.json.decode(_all(connection, tally.name))
            tables[tally.name] = {
                tuple(str(row[name]) for name in tally.columns): row["n"]
                for row in found
                if row["n"]
            }
    return tables


def checksums(url: str, read_model: ReadModel, generation: int = 1) -> Buckets:
    with shown(url, generation) as side:
        return buckets_of(side, read_model)


def _all(connection: psycopg.Connection[Any], relation: str) -> str:
    statement = sql.SQL("SELECT coalesce(json_agg(to_json(one)), '[]')::text FROM {} AS one")
    row = connection.execute(statement.format(sql.Identifier("read", relation))).fetchone()
    assert row is not None
    return str(row[0])
