"""Before a program starts on its database: it waits, can be stopped, and knows a lost cause."""

import asyncio
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from api.database import DatabaseRefused, is_final, prepare_database, with_timeout
from commands.event_log import migrate

NOBODY = "postgresql://owl@127.0.0.1:1/owl"

pytestmark = pytest.mark.anyio


async def test_a_database_that_is_there_is_ready(database_url: str) -> None:
    assert await prepare_database(database_url)


async def test_waiting_ends_when_the_program_is_stopped() -> None:
    stop, said = asyncio.Event(), []

    def tell(why: str) -> None:
        said.append(why)
        stop.set()

    assert not await prepare_database(NOBODY, stop=stop, tell=tell)
    assert "waiting for the database" in said[0]


async def test_a_stuck_migration_of_another_process_is_named_and_waited_for_in_words(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", "SET lock_timeout = '50ms'")
    said: list[str] = []

    def tell(why: str) -> None:
        said.append(why)
        stuck.close()

    with psycopg.connect(database_url, application_name="owl elsewhere") as stuck:
        stuck.execute(migrate.LOCK)
        pid = stuck.info.backend_pid
        with pytest.raises(migrate.MigrationWaits, match="another process is migrating"):
            migrate.migrate(database_url)
        assert await prepare_database(database_url, stop=asyncio.Event(), tell=tell)
    assert f"session {pid} (owl elsewhere" in said[0]
    assert f"pg_terminate_backend({pid})" in said[0]


async def test_a_database_that_will_never_be_is_not_waited_for(database_url: str) -> None:
    parts = urlsplit(database_url)
    elsewhere = urlunsplit(parts._replace(path="/no_such_database"))
    with pytest.raises(DatabaseRefused, match="no_such_database"):
        await prepare_database(elsewhere, stop=asyncio.Event())


def test_a_server_that_starts_is_no_lost_cause() -> None:
    assert not is_final("FATAL:  the database system is starting up")
    assert not is_final("connection refused")
    assert is_final('FATAL:  password authentication failed for user "owl"')


def test_a_limit_of_the_url_is_kept() -> None:
    assert "connect_timeout=9" in with_timeout("postgresql://h/d?connect_timeout=9")
    assert "connect_timeout=3" in with_timeout(NOBODY)
