"""Migrations run once each, whoever starts first, and never change afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from commands.event_log.migrate import MigrationChanged, known_migrations, migrate

COUNT = "SELECT count(*) FROM owl_log.migrations"
DROP = "DROP SCHEMA owl_log CASCADE; DROP SCHEMA owl_private CASCADE"


@pytest.fixture(params=["database_url", "postgres15"])
def bare(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    with psycopg.connect(url) as connection:
        connection.execute(DROP)
    return url


def test_migrating_twice_changes_nothing(bare: str) -> None:
    migrate(bare)
    migrate(bare)
    with psycopg.connect(bare) as connection:
        assert connection.execute(COUNT).fetchone() == (len(known_migrations()),)


def test_processes_that_start_together_migrate_once(bare: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(migrate, bare) for _ in range(4)]:
            done.result()
    with psycopg.connect(bare) as connection:
        assert connection.execute(COUNT).fetchone() == (len(known_migrations()),)


def test_a_migration_that_was_edited_after_it_ran_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE owl_log.migrations SET digest = 'x'")
    with pytest.raises(MigrationChanged, match="0001_event_log"):
        migrate(database_url)


def test_what_was_recorded_cannot_be_changed_or_removed(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        for change in (
            "UPDATE owl_log.events SET actor = 'x'",
            "DELETE FROM owl_log.events",
            "TRUNCATE owl_log.events",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
                connection.execute(change)
