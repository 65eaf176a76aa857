"""Who is forgotten is named as long as a copy beside the platform's own tables shows them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from commands.writer import Writer
from projections.audit.forgetting import copies_of
from projections.catalogue import BUSINESS
from projections.migrate import prepare
from projections.replay import replay
from tests.audit.test_privacy import plaintext, registered, run_erase
from tests.commands.accounting import clock, opened

pytestmark = pytest.mark.anyio


async def test_a_copy_that_still_shows_who_it_was_is_named_until_it_is_dropped(
    database_url: str, nats_url: str, tmp_path: Path
) -> None:
    prepare(database_url)
    user, other = uuid4(), uuid4()
    with opened(database_url) as log:
        async with Writer(log, clock) as writer:
            await registered(writer, user)
        users = [each for each in BUSINESS if each.name == "users"]
        await asyncio.to_thread(
            replay, database_url, log.history(), users, into="november", upto=3
        )
    said = await asyncio.to_thread(run_erase, database_url, nats_url, tmp_path, user)
    assert (said.exit_code, said.stdout) == (1, f"{user} is forgotten\n")
    assert 'DROP SCHEMA "november" CASCADE' in said.stderr
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert copies_of(connection, other) == []
        connection.execute('DROP SCHEMA "november" CASCADE')
    said = await asyncio.to_thread(run_erase, database_url, nats_url, tmp_path, user)
    assert said.exit_code == 0
    assert plaintext(database_url) == set()
