"""A replay answers a question beside everything: what is live never hears of it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from commands.event_log.log import EventLog
from domain.audit.canonical import StoredEvent
from projections.catalogue import BUSINESS
from projections.migrate import prepare
from projections.pace import BuildingConfig
from projections.progress import Progress
from projections.read_model import ReadModel
from projections.replay import Replayed, ReplayFailed, SchemaTaken, replay
from projections.runner import Runner
from projections.statements import checksum_statements
from tests.audit.conftest import AS_OWNER
from tests.audit.stories import insert, played
from tests.commands.accounting import SECRETS
from tests.projections.tables import finish
from tests.stack import LiveStack

SMALL = BuildingConfig(chunk_events=30, batch_events=40, rows_kept=12)
BOOKS = """
    SELECT to_jsonb(each)::text FROM owl_read.checkpoints AS each
    UNION ALL SELECT to_jsonb(each)::text FROM owl_read.rebuilds AS each ORDER BY 1
"""
SCHEMAS = "SELECT nspname FROM pg_namespace ORDER BY 1"


def projected(url: str, events: list[StoredEvent]) -> None:
    prepare(url)
    with psycopg.connect(url) as connection:
        insert(connection, events)
    with EventLog.open(url, secrets=SECRETS, require_durable=False) as log:
        runner = Runner(log.feed(), url, BUSINESS, projected=None)
        finish(runner)
        runner.close()


def replayed(url: str, into: str, upto: int, **how: Any) -> tuple[Replayed, ...]:
    with EventLog.open(url, secrets=SECRETS, require_durable=False) as log:
        models: tuple[ReadModel, ...] = how.pop("models", BUSINESS)
        return replay(url, log.history(), models, into=into, upto=upto, config=SMALL, **how)


def live(url: str, schema: str = "rm_{}_g1") -> dict[str, tuple[int, str]]:
    found = {}
    with psycopg.connect(url) as connection:
        for model in BUSINESS:
            for table, statement in checksum_statements(schema.format(model.name), model):
                row = connection.execute(statement.encode()).fetchone()
                assert row is not None
                found[table] = (row[0], row[1])
    return found


def by_table(tables: tuple[Replayed, ...]) -> dict[str, tuple[int, str]]:
    return {each.table: (each.rows, each.checksum) for each in tables}


def rows(url: str, query: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def test_a_replay_gives_the_rows_of_that_position_and_touches_nothing(
    database_url: str, session_stack: LiveStack
) -> None:
    story = played(4, 300).stored()
    projected(database_url, story)
    rows_before, books_before = live(database_url), rows(database_url, BOOKS)
    told: list[Progress] = []
    now = replayed(database_url, "at_the_end", len(story), progress=told.append)
    assert by_table(now) == rows_before
    assert {each.stage for each in told} >= {"folding", "indexing", "done"}
    earlier = session_stack.create_database()
    projected(earlier, story[:140])
    then = replayed(database_url, "earlier", 140)
    assert by_table(then) == live(earlier) != rows_before
    assert live(database_url) == rows_before
    assert rows(database_url, BOOKS) == books_before
    session_stack.drop_database(earlier)


def test_a_schema_that_is_there_is_refused_and_stays_as_it_is(database_url: str) -> None:
    story = played(5, 60).stored()
    projected(database_url, story)
    replayed(database_url, "question", 20)
    before = live(database_url, "question")
    with pytest.raises(SchemaTaken, match="DROP SCHEMA"):
        replayed(database_url, "question", 40)
    assert live(database_url, "question") == before
    for name in ("public", "read", "rm_tasks_g9", "owl_log", "pg_mine", "", "x" * 64):
        with pytest.raises(SchemaTaken):
            replayed(database_url, name, 40)


def test_what_fails_leaves_no_schema_and_names_the_event(database_url: str) -> None:
    story = played(6, 60).stored()
    projected(database_url, story)
    with psycopg.connect(database_url) as connection:
        connection.execute(AS_OWNER)
        connection.execute(
            "UPDATE owl_log.events SET topic = 'tasks.nobody_knows/1',"
            " state = convert_to('{\"type\":\"tasks.nobody_knows/1\"}', 'UTF8')"
            " WHERE notification_id = 30"
        )
    before = rows(database_url, SCHEMAS)
    with pytest.raises(ReplayFailed, match="30"):
        replayed(database_url, "question", 60)
    assert rows(database_url, SCHEMAS) == before
    # what ends before it is answered
    assert sum(each.rows for each in replayed(database_url, "question", 29)) > 0
