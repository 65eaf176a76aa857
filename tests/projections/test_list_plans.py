"""Lists of a farm with a long and uneven history: a page reads what it shows, and little else.

Uneven as farms are: one user has nearly everything, of which three tasks failed, long ago; one
type is all but never used. Buffers are counted, since a plan may go by an index and yet read a
whole history along it; with the plan that Postgres makes for these values, and with the one
that it keeps for all values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import product
from typing import Any
from uuid import UUID

import psycopg
import pytest

from projections import task_lists
from projections.migrate import prepare
from tests.stack import LiveStack

BIG, SMALL = UUID(int=1), UUID(int=2)
TASKS = 60_000
FILL = f"""
    INSERT INTO rm_tasks_g1.tasks (
        task_id, user_id, title, description, task_type, priority, config,
        price_fen_per_minute, hold_fen, timeout_s, status, phase, progress, attempt, attempts,
        gpu_uuids, cost_fen, result, error_message, artifacts, queued_at, created_at, updated_at
    )
    SELECT lpad(to_hex(n), 32, '0')::uuid,
        lpad(CASE WHEN n % 50 = 0 THEN to_hex(2 + n / 50 % 100) ELSE '1' END, 32, '0')::uuid,
        't', 'd', CASE WHEN n % 15000 = 77 THEN 'rare' ELSE 'video_analysis' END,
        CASE WHEN n % 20000 = 55 THEN 5 ELSE 1 END, '{{}}', 105, 0, 60, status, status, 0, 1,
        '[]', '[]', 0, '{{}}', '', '[]', at, at,
        at + n * 7919 % 1000 * interval '1 second'
    FROM generate_series(1, {TASKS}) AS n, LATERAL (
        SELECT now() - ({TASKS} - n) * interval '1 minute' AS at,
            CASE WHEN n % 20000 = 33 AND n < 50000 THEN 'failed'
                WHEN n > {TASKS} - 9 THEN 'pending'
                ELSE 'completed' END AS status
    ) AS made;
    INSERT INTO rm_tasks_g1.task_counts
    SELECT user_id, status, task_type, false, count(*) FROM rm_tasks_g1.tasks GROUP BY 1, 2, 3;
    INSERT INTO rm_tasks_g1.task_totals
    SELECT status, task_type, false, count(*) FROM rm_tasks_g1.tasks GROUP BY 1, 2;
"""
PAGE = {"page_size": 20, "offset": 40, "reach": 60}
FIRST_PAGE = {"page_size": 20, "offset": 0, "reach": 20}
BUFFERS = 400
"""Of 8 KiB, that a page may touch: some index leaves for each kind, and its own rows."""


@pytest.fixture(scope="module")
def grown(session_stack: LiveStack) -> Iterator[psycopg.Connection[Any]]:
    url = session_stack.create_database()
    prepare(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL.encode())
        connection.execute("VACUUM ANALYZE")
        yield connection
    session_stack.drop_database(url)


def buffers_of(
    connection: psycopg.Connection[Any], mode: str, statement: str, parameters: dict[str, Any]
) -> tuple[int, str]:
    """How many buffers the statement touches under one mode of planning, and its plan."""
    used = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    numbered = re.sub(r"%\((\w+)\)s", lambda at: f"${used.index(at[1]) + 1}", statement)
    values = ", ".join(f"%({name})s" for name in used)
    # EXECUTE takes no parameters of the protocol: they are put into its text
    cursor = psycopg.ClientCursor(connection)
    cursor.execute("DEALLOCATE ALL")
    cursor.execute(f"SET plan_cache_mode = {mode}".encode())
    cursor.execute(f"PREPARE asked AS {numbered}".encode())
    explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked({values})"
    row = cursor.execute(explained.encode(), parameters).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    touched = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return touched, json.dumps(plan, indent=1)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("order", task_lists.ORDERS)
@pytest.mark.parametrize("whose", ["big", "small", "all"])
def test_a_page_of_tasks_reads_what_it_shows(
    grown: psycopg.Connection[Any], whose: str, order: Any, mode: str
) -> None:
    user = {"big": BIG, "small": SMALL, "all": None}[whose]
    for status, task_type, page in product(
        (None, "failed", "pending", "running"), (None, "rare", "unused"), (FIRST_PAGE, PAGE)
    ):
        statement = task_lists.page_statement(
            *order,
            by_user=user is not None,
            by_status=status is not None,
            by_type=task_type is not None,
        )
        asked = {"user_id": user, "status": status, "task_type": task_type, **page}
        touched, plan = buffers_of(grown, mode, statement, asked)
        assert touched <= BUFFERS, f"{status} {task_type} {page}: {touched} buffers\n{plan}"
