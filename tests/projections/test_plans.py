"""Hot queries on tables that have grown: each by an index, none reads history to answer.

The rows are made by SQL, so that there are many of them at once; their sense does not matter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.sql import SQL, Identifier, Literal

from projections import (
    gpu_cluster,
    recharge_codes,
    recharge_records,
    system_stats,
    task_lists,
    task_log_days,
    task_logs,
    task_queue,
    user_action_pages,
    user_lists,
    users,
)
from projections.live_servers import LIVE_SERVERS
from projections.migrate import prepare
from projections.task_event_lines import ABOUT_EVENTS
from tests.stack import LiveStack

ROWS = 20_000
USERS = 200
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SOMEBODY = UUID(int=7)
SOMETHING = UUID(int=70)

FILL = f"""
    INSERT INTO rm_users_g1.users
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'e' || n, 'u' || n, 'n',
        CASE WHEN n % 90 = 0 THEN 'admin' ELSE 'user' END, n % 80 <> 0, 0, 0, 0, 0, 0, 0,
        NULL, now() - n * interval '1 second', NULL
    FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO rm_tasks_g1.tasks (
        task_id, user_id, title, description, task_type, priority, estimated_duration_min,
        config, price_fen_per_minute, hold_fen, timeout_s, status, phase, reason, progress,
        attempt, attempts, server_id, gpu_uuids, cost_fen, result, error_message, artifacts,
        queued_at, started_at, cancel_requested_at, completed_at, created_at, updated_at,
        deleted_at
    )
    SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n % {USERS}), 32, '0')::uuid, 't', 'd',
        CASE WHEN n % 50 = 0 THEN 'test' ELSE 'video_analysis' END, 1 + n % 5, 3, '{{}}', 105,
        0, 60,
        CASE WHEN n % 400 = 0 THEN 'pending' WHEN n % 9 = 0 THEN 'failed' ELSE 'completed' END,
        CASE WHEN n % 400 = 0 THEN 'pending' WHEN n % 9 = 0 THEN 'failed' ELSE 'completed' END,
        NULL, 0, 1, '[]', lpad(to_hex(n % 5), 32, '0')::uuid, '[]', 0, '{{}}', '', '[]',
        now() - n * interval '1 second', NULL, NULL, NULL, now() - n * interval '1 second',
        now() - (n % 977) * interval '1 second', NULL
    FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO rm_tasks_g1.task_counts
    SELECT user_id, status, task_type, false, count(*) FROM rm_tasks_g1.tasks GROUP BY 1, 2, 3;
    INSERT INTO owl_log.events
    SELECT n, lpad(CASE WHEN n % 4 = 0 THEN 'aa' ELSE to_hex(n % 401) END, 32, '0')::uuid, n,
        CASE WHEN n % 4 = 0 THEN 'wallet.hold_placed/1' ELSE 'tasks.task_started/1' END,
        '{{"attempt":1,"task_id":"00000000-0000-0000-0000-000000000001"}}',
        now() - ({ROWS} - n) * interval '1 minute', 'system:test',
        lpad(to_hex(n), 32, '0')::uuid, 'c', NULL
    FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO rm_task_events_g1.task_events
    SELECT n, lpad(to_hex(n % 401), 32, '0')::uuid FROM generate_series(4, {ROWS}, 4) AS n;
    UPDATE owl_read.checkpoints SET position = {ROWS};
    INSERT INTO rm_task_output_g1.task_output
    SELECT lpad(to_hex(n % 4000), 32, '0')::uuid, 1, n, n, n, lpad('7', 32, '0')::uuid, now(),
        1, '[]'
    FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO rm_recharge_codes_g1.recharge_codes
    SELECT lpad(to_hex(n), 32, '0')::uuid, lpad('7', 32, '0')::uuid, 'h', 1, 1, 0,
        CASE WHEN n % 3 = 0 THEN now() + (n % 1000) * interval '1 hour' END, 'd',
        CASE WHEN n % 2 = 0 THEN 'open' WHEN n % 50 = 1 THEN 'revoked' ELSE 'used' END,
        'admin:test', now() - n * interval '1 second', NULL, NULL
    FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO rm_recharge_records_g1.recharge_records
    SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n % {USERS}), 32, '0')::uuid,
        lpad(to_hex(n), 32, '0')::uuid, 1, now(), n
    FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO rm_user_actions_g1.user_actions
    SELECT n, lpad(to_hex(n % {USERS}), 32, '0')::uuid,
        lpad(CASE WHEN n % 50 = 0 THEN to_hex(n % 997) ELSE '0' END, 32, '0')::uuid,
        now() - ({ROWS} - n) * interval '1 minute'
    FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO rm_user_actions_g1.action_counts
    SELECT recorded_at::date, count(*) FROM rm_user_actions_g1.user_actions GROUP BY 1;
    INSERT INTO rm_user_actions_g1.actor_action_counts
    SELECT actor_id, recorded_at::date, count(*) FROM rm_user_actions_g1.user_actions
    GROUP BY 1, 2;
    INSERT INTO rm_gpu_servers_g1.gpu_servers
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'gpu-' || n, 'host', 4, true, false, false, true, '',
        NULL, NULL, '[]', '{{}}', now(), now(), now(), now(), NULL
    FROM generate_series(1, 5) AS n;
"""
GROWN = (
    *(
        "events",
        "users",
        "tasks",
        "task_events",
        "task_output",
        "recharge_codes",
        "recharge_records",
    ),
    *("user_actions", "actor_action_counts"),
)
PARAMETERS: dict[str, Any] = (
    user_action_pages.ABOUT_ACTIONS
    | ABOUT_EVENTS
    | {
        "user_id": SOMEBODY,
        "task_id": SOMETHING,
        "server_id": UUID(int=3),
        "status": "failed",
        "task_type": "test",
        "page_size": 20,
        "limit": 20,
        "offset": 40,
        "now": NOW,
        "guess": 10,
        "most": 1_000,
        "priority": 1,
        "queued_at": NOW,
        "offline_after_s": 30,
        "wants_files": True,
        "recorded_at": NOW,
        "source": 0,
        "position": 5,
        "line": 0,
        "beyond": 60,
        "role": "admin",
        "start": datetime(2000, 1, 1, tzinfo=UTC),
        "end": datetime(2100, 1, 1, tzinfo=UTC),
        "first_day": datetime(2000, 1, 1, tzinfo=UTC).date(),
        "last_day": datetime(2100, 1, 1, tzinfo=UTC).date(),
    }
)


def pages() -> Iterator[tuple[str, str]]:
    for order in task_lists.ORDERS:
        for by_user, by_status, by_type in (
            (True, False, False),
            (True, True, False),
            (True, False, True),
            (False, False, False),
            (False, True, False),
            (False, False, True),
            (True, True, True),
            (False, True, True),
        ):
            statement = task_lists.page_statement(
                *order, by_user=by_user, by_status=by_status, by_type=by_type, reach="128"
            )
            yield f"tasks {order} {by_user} {by_status} {by_type}", statement


QUERIES = {
    "users by id": users.BY_ID,
    "user statistics": users.STATISTICS,
    **{f"users {asked}": text for asked, text in user_lists.PAGES.items()},
    "system statistics": LIVE_SERVERS + system_stats.STATISTICS,
    "task by id": task_lists.BY_ID,
    **dict(pages()),
    "place in the queue": LIVE_SERVERS + task_queue.PLACE,
    **{f"task log: {name}": text for name, text in task_logs.STATEMENTS.items()},
    **{f"codes {status}": text for status, text in recharge_codes.STATEMENTS.items()},
    "records of a user": recharge_records.PAGE,
    **{f"user actions: {name}": text for name, text in user_action_pages.STATEMENTS.items()},
    "servers": LIVE_SERVERS + gpu_cluster.SERVERS + gpu_cluster.ALL,
    "server now": LIVE_SERVERS + gpu_cluster.SERVERS + gpu_cluster.NOW,
    "overview": LIVE_SERVERS + gpu_cluster.OVERVIEW,
}
LOOKED_AT = 800
"""Rows that a query may look at in a grown table: a page, a user, what is alive."""


@pytest.fixture(scope="module")
def grown(session_stack: LiveStack) -> Iterator[psycopg.Connection[Any]]:
    url = session_stack.create_database()
    prepare(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL.encode())
        connection.execute("VACUUM ANALYZE")
        yield connection
    session_stack.drop_database(url)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def plan_of(url: str, statement: str, mode: str) -> dict[str, Any]:
    """How Postgres carries out ``statement``, prepared as the pool's connections prepare it."""
    with psycopg.connect(url, options=f"-c plan_cache_mode={mode}") as connection:
        connection.execute(statement.encode(), PARAMETERS, prepare=True)
        (name,) = connection.execute("SELECT name FROM pg_prepared_statements").fetchone() or ()
        placeholders = dict.fromkeys(re.findall(r"%\((\w+)\)s", statement))  # $1, $2, …
        arguments = SQL(", ").join(Literal(PARAMETERS[each]) for each in placeholders)
        given = SQL("({})").format(arguments) if placeholders else SQL("")
        explain = SQL("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE {}{}")
        row = connection.execute(explain.format(Identifier(name), given)).fetchone()
    assert row is not None
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_a_query_goes_by_an_index_and_looks_at_few_rows(
    grown: psycopg.Connection[Any], name: str, mode: str
) -> None:
    plan = plan_of(grown.info.dsn, QUERIES[name].replace("{reach}", "128"), mode)
    for node in nodes(plan):
        # an index in time finds no stream: it reads all that was recorded since
        assert node.get("Index Name") != "events_in_time", json.dumps(node, indent=1)
        relation = node.get("Relation Name")
        if relation not in GROWN:
            continue
        assert node["Node Type"] != "Seq Scan", json.dumps(node, indent=1)
        looked_at = node["Actual Loops"] * (
            node["Actual Rows"]
            + node.get("Rows Removed by Filter", 0)
            + node.get("Rows Removed by Index Recheck", 0)
        )
        assert looked_at <= LOOKED_AT, json.dumps(node, indent=1)


def test_a_heartbeat_is_written_over_in_place(grown: psycopg.Connection[Any]) -> None:
    grown.execute(
        "INSERT INTO rm_gpu_status_g1.gpu_status SELECT lpad(to_hex(n), 32, '0')::uuid,"
        " lpad('1', 32, '0')::uuid, 1, now(), now(), 1, 1, '[]', '[]', false, false"
        " FROM generate_series(1, 5) AS n"
    )
    for sequence in range(20):
        grown.execute("UPDATE rm_gpu_status_g1.gpu_status SET sequence = %s", (sequence,))
    grown.execute("SELECT pg_stat_force_next_flush()")
    row = grown.execute(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'gpu_status'"
    ).fetchone()
    assert row == (100, 100)


def test_a_day_of_the_log_is_found_by_ranges_of_blocks_and_read_by_positions(
    grown: psycopg.Connection[Any],
) -> None:
    start = datetime.now(UTC) - timedelta(days=5)
    day = {"start": start, "end": start + timedelta(days=1)}
    window = {"first": 5_000, "beyond": 5_500}
    for name, statement in (
        ("events_in_time", task_log_days.BOUNDS),
        ("events_position", task_log_days.WITHIN),
    ):
        explain = "EXPLAIN (FORMAT JSON) " + statement
        row = grown.execute(explain.encode(), PARAMETERS | day | window).fetchone()
        assert row is not None
        found = list(nodes(row[0][0]["Plan"]))
        assert name in {node.get("Index Name") for node in found}
        assert all(
            node.get("Relation Name") != "events" or node["Node Type"] != "Seq Scan"
            for node in found
        )
