"""A receipt is kept for a day, and then forgotten."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from commands.housekeeping import Config, Housekeeping

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ADD = """
    INSERT INTO owl_private.receipts
        (key_id, command_id, request_digest, result, position, recorded_at)
    VALUES (gen_random_uuid(), %s, '', '{}', 1, %s)
"""


@pytest.mark.anyio
async def test_receipts_are_forgotten_after_a_day_and_not_before(database_url: str) -> None:
    ages = [timedelta(hours=23, minutes=59), timedelta(hours=24, seconds=1)] + 6 * [
        timedelta(days=30)
    ]
    with psycopg.connect(database_url, autocommit=True) as connection:
        for age in ages:
            connection.execute(ADD, (uuid4(), NOW - age))
        keeping = Housekeeping(database_url, clock=lambda: NOW, config=Config(rows_at_once=2))
        assert await keeping.step() == 7
        assert await keeping.step() == 0
        left = connection.execute("SELECT recorded_at FROM owl_private.receipts").fetchall()
    assert left == [(NOW - ages[0],)]
