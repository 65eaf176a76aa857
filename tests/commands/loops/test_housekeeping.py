"""What is kept for a time: receipts for a day, the system log for as long as operators say."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from commands.configuration import ChangeConfiguration, change_configuration
from commands.housekeeping import Config, Housekeeping
from tests.commands.loops.plant import Plant, new_id

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ADD = """
    INSERT INTO owl_private.receipts
        (key_id, command_id, request_digest, result, position, recorded_at)
    VALUES (gen_random_uuid(), %s, '', '{}', 1, %s)
"""
A_LINE_A_DAY = """
    INSERT INTO owl_log.system_log (logged_at, level, program, logger, event, message, fields)
    SELECT date_trunc('day', %(now)s, 'UTC') - n * interval '1 day' - interval '1 second',
        'INFO', 'p', 'l', 'e', 'm', '{}'
    FROM generate_series(0, 99) AS n
"""
COUNT_THEM = """
    INSERT INTO owl_log.system_log_counts
    SELECT (logged_at AT TIME ZONE 'UTC')::date, level, count(*)
    FROM owl_log.system_log GROUP BY 1, 2
"""
LEFT = """
    SELECT (SELECT count(*) FROM owl_log.system_log), count(*), min(day)
    FROM owl_log.system_log_counts
"""


def keeping(plant: Plant) -> Housekeeping:
    config = Config(rows_at_once=2)
    return Housekeeping(
        plant.log.conninfo, plant.writer, new_id, clock=lambda: NOW, config=config
    )


@pytest.mark.anyio
async def test_receipts_are_forgotten_after_a_day_and_not_before(plant: Plant) -> None:
    ages = [timedelta(hours=23, minutes=59), timedelta(hours=24, seconds=1)] + 6 * [
        timedelta(days=30)
    ]
    with psycopg.connect(plant.log.conninfo, autocommit=True) as connection:
        for age in ages:
            connection.execute(ADD, (uuid4(), NOW - age))
        assert await keeping(plant).step() == 7
        assert await keeping(plant).step() == 0
        left = connection.execute("SELECT recorded_at FROM owl_private.receipts").fetchall()
    assert left == [(NOW - ages[0],)]


@pytest.mark.anyio
async def test_the_system_log_is_kept_for_the_days_that_the_configuration_says(
    plant: Plant,
) -> None:
    with psycopg.connect(plant.log.conninfo, autocommit=True) as connection:
        connection.execute(A_LINE_A_DAY, {"now": NOW})
        connection.execute(COUNT_THEM)
        for days in (30, 7):
            await plant.run(
                change_configuration, ChangeConfiguration(changes={"system_log_days": days})
            )
            await keeping(plant).step()
            oldest = NOW.date() - timedelta(days=days)
            assert connection.execute(LEFT).fetchone() == (days, days, oldest)
        assert await keeping(plant).step() == 0
