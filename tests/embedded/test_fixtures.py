"""What every other test leans on."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nats
import psycopg
import pytest

from tests.conftest import LONGEST, rank


def marked(url: str) -> bool:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT to_regclass('mark') IS NOT NULL").fetchone()
        assert found is not None
        connection.execute("CREATE TABLE IF NOT EXISTS mark ()")
    return bool(found[0])


def test_a_file_of_tests_may_lie_anywhere() -> None:
    elsewhere: Any = SimpleNamespace(path=Path("/elsewhere/test_it.py"))
    assert rank(elsewhere) == len(LONGEST)


@pytest.mark.parametrize("turn", ["first", "second"])
def test_a_test_never_sees_the_tables_of_another(database_url: str, turn: str) -> None:
    assert not marked(database_url)


def test_a_test_connects_as_the_platforms_role_not_as_a_superuser(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT current_user, current_setting('is_superuser')"
        ).fetchone()
    assert row == ("owl", "off")


@pytest.mark.anyio
@pytest.mark.parametrize("turn", ["first", "second"])
async def test_a_test_never_sees_the_streams_of_another(nats_url: str, turn: str) -> None:
    client = await nats.connect(nats_url)
    try:
        assert await client.jetstream().streams_info() == []
        await client.jetstream().add_stream(name="LEFT_BEHIND", subjects=["left.>"])
    finally:
        await client.close()


@pytest.mark.parametrize("fixture", ["database_url", "postgres15"])
def test_a_fresh_database_holds_an_empty_event_log(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    with psycopg.connect(request.getfixturevalue(fixture)) as connection:
        migrations = connection.execute(
            "SELECT count(*) > 0 FROM owl_log.migrations"
        ).fetchone()
    assert migrations == (True,)
