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
from datetime import UTC, date, datetime
from itertools import product
from typing import Any
from uuid import UUID

import psycopg
import pytest

from projections import (
    recharge_codes,
    recharge_records,
    task_lists,
    task_logs,
    user_action_pages,
    user_lists,
)
from projections.migrate import prepare
from projections.page import reach_of
from projections.task_event_lines import ABOUT_EVENTS
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
FILL_THE_REST = """
    INSERT INTO rm_users_g1.users
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'e' || n, 'u' || n, 'n',
        CASE WHEN n IN (5, 6, 7) THEN 'admin' ELSE 'user' END, n NOT IN (6, 7), 0, 0, 0, 0, 0,
        0, NULL, now() - (20000 - n) * interval '1 minute', NULL
    FROM generate_series(1, 20000) AS n;
    INSERT INTO rm_users_g1.user_totals
    SELECT role, is_active, count(*) FROM rm_users_g1.users GROUP BY 1, 2;

    -- all but ten have expired unused, each day some; the ten are the oldest of all
    INSERT INTO rm_recharge_codes_g1.recharge_codes
    SELECT lpad(to_hex(n), 32, '0')::uuid, lpad('7', 32, '0')::uuid, 'h', 1, 1, 0,
        CASE WHEN n > 5 THEN now() + CASE WHEN n > 10 THEN -1 ELSE 1 END
            * n / 100 * interval '1 day' - interval '1 hour' END,
        'd', 'open', 'admin:x', now() - (20000 - n) * interval '1 minute', NULL, NULL
    FROM generate_series(1, 20000) AS n;
    INSERT INTO rm_recharge_codes_g1.code_counts
    SELECT 'open', coalesce((expires_at AT TIME ZONE 'UTC')::date, DATE '9999-12-31'), count(*)
    FROM rm_recharge_codes_g1.recharge_codes GROUP BY 2;
    INSERT INTO rm_recharge_records_g1.recharge_records
    SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(CASE WHEN n % 50 = 0 THEN '2' ELSE '1' END, 32,
        '0')::uuid, lpad(to_hex(n), 32, '0')::uuid, 1, now(), n
    FROM generate_series(1, 20000) AS n;

    INSERT INTO rm_user_actions_g1.user_actions
    SELECT n, lpad(CASE WHEN n % 500 = 0 THEN '2' ELSE '1' END, 32, '0')::uuid,
        lpad(CASE WHEN n % 1000 = 1 THEN '2' ELSE '0' END, 32, '0')::uuid,
        now() - (20000 - n) * interval '1 minute'
    FROM generate_series(1, 20000) AS n;

    -- one task wrote a hundred thousand lines
    INSERT INTO owl_log.events
    SELECT n, lpad(CASE WHEN n % 4 = 0 THEN 'aa' ELSE to_hex(n / 10) END, 32, '0')::uuid, n,
        CASE WHEN n % 4 = 0 THEN 'wallet.hold_placed/1' ELSE 'tasks.task_started/1' END,
        '{"attempt":1}', now() - (20000 - n) * interval '1 second', 'system:test',
        lpad(to_hex(n), 32, '0')::uuid, 'c', NULL
    FROM generate_series(1, 20000) AS n;
    INSERT INTO rm_task_events_g1.task_events
    SELECT n, lpad(to_hex(n / 10), 32, '0')::uuid FROM generate_series(4, 20000, 4) AS n;
    UPDATE owl_read.checkpoints SET position = 20000;
    INSERT INTO rm_task_output_g1.task_output
    SELECT lpad(CASE WHEN n % 10 = 0 THEN to_hex(n) ELSE '1' END, 32, '0')::uuid, 1, n, n, n,
        lpad('7', 32, '0')::uuid, now() - (20000 - n) * interval '1 second', 200, (
            SELECT jsonb_agg(jsonb_build_object(
                'at', now(), 'level', 'INFO', 'text', md5(line::text)
            )) FROM generate_series(1, 200) AS line
        )
    FROM generate_series(1, 555) AS n;
"""
PAGE = {"page_size": 20, "offset": 40}
PAST_THE_END = {"page_size": 100, "offset": 999_900}
FIRST_PAGE = {"page_size": 20, "offset": 0}
OTHERS = {
    **{f"users {asked}": text for asked, text in user_lists.PAGES.items()},
    **{f"codes {status}": text for status, text in recharge_codes.STATEMENTS.items()},
    "records": recharge_records.PAGE,
    **{f"user actions: {name}": text for name, text in user_action_pages.STATEMENTS.items()},
    **{f"task log: {name}": text for name, text in task_logs.STATEMENTS.items()},
}
BUFFERS = 300
"""Of 8 KiB, that a page may touch: some index leaves for each kind, and its own rows."""


@pytest.fixture(scope="module")
def grown(session_stack: LiveStack) -> Iterator[psycopg.Connection[Any]]:
    url = session_stack.create_database()
    prepare(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL.encode())
        connection.execute(FILL_THE_REST)
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
        (None, "failed", "pending", "running"),
        (None, "rare", "unused"),
        (FIRST_PAGE, PAGE, PAST_THE_END),
    ):
        statement = task_lists.page_statement(
            *order,
            by_user=user is not None,
            by_status=status is not None,
            by_type=task_type is not None,
            reach=reach_of(page["offset"] // page["page_size"] + 1, page["page_size"]),
        )
        asked = {"user_id": user, "status": status, "task_type": task_type, **page}
        touched, plan = buffers_of(grown, mode, statement, asked)
        assert touched <= BUFFERS, f"{status} {task_type} {page}: {touched} buffers\n{plan}"


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", OTHERS)
def test_a_page_of_any_other_list_reads_what_it_shows(
    grown: psycopg.Connection[Any], name: str, mode: str
) -> None:
    for user, role, lines in ((BIG, "user", 0), (SMALL, "admin", 99_000)):
        asked = (
            ABOUT_EVENTS
            | PAGE
            | {
                "user_id": user,
                "role": role,
                "now": datetime.now(UTC),
                "start": datetime(2000, 1, 1, tzinfo=UTC),
                "end": datetime(2100, 1, 1, tzinfo=UTC),
                "first_day": date(2000, 1, 1),
                "last_day": date(2100, 1, 1),
                "task_id": BIG,
                "recorded_at": datetime(2000, 1, 1, tzinfo=UTC),
                "source": 0,
                "position": 0,
                "line": 0,
                "limit": 20,
                "beyond": 60,
            }
        )
        if name.startswith("task log"):
            asked |= {"offset": lines, "beyond": lines + 20}
        touched, plan = buffers_of(grown, mode, OTHERS[name].replace("{reach}", "128"), asked)
        assert touched <= BUFFERS, f"{touched} buffers\n{plan}"


KEPT = {
    "tasks": task_lists.page_statement(
        "updated_at", "desc", by_user=False, by_status=False, by_type=False, reach="32"
    ),
    "newest tasks": task_lists.page_statement(
        "created_at", "desc", by_user=False, by_status=False, by_type=False, reach="32"
    ),
    "users": user_lists.PAGES[False, None],
    "codes": recharge_codes.STATEMENTS[None],
    "expired codes": recharge_codes.STATEMENTS["expired"],
    "codes that can be used": recharge_codes.STATEMENTS["active"],
}


@pytest.mark.parametrize("name", KEPT)
def test_a_long_list_is_not_planned_anew_at_each_request(
    grown: psycopg.Connection[Any], name: str
) -> None:
    """Planning costs more than reading, and Postgres keeps a plan that seems cheap."""
    grown.execute("RESET plan_cache_mode")
    grown.execute("DEALLOCATE ALL", prepare=False)  # run five times it would be prepared itself
    statement = KEPT[name].replace("{reach}", "32").encode()
    for _ in range(10):
        grown.execute(statement, FIRST_PAGE | {"now": datetime.now(UTC)}, prepare=True)
    row = grown.execute("SELECT max(generic_plans) FROM pg_prepared_statements").fetchone()
    assert row == (5,), "the first five are planned for their values"
