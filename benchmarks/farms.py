"""Farms of any size for benchmarks of what is read: rows that the folds made, many times over.

A small farm lives through its commands, and the folds make its rows. Those rows are then copied
by SQL under other ids, owners and times, and the tallies summed up from the copies. A million
tasks are seven million events: writing and folding those would take an hour's share of a
benchmark that measures neither. What stands in the tables has the same form all the same.

Uneven as farms are: one user owns half of all, others little; nearly every task has completed,
some failed, and of one type there are 25 in all. What is alive (the queue, what runs, servers,
codes that can be used) is the same on every farm, since it is load and not history; so is a
day's traffic, and the large farm is a thousand days old.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import sql

from commands import administration, recharge, tasks
from domain.fleet.messages import HostSample, OutputLine
from domain.telemetry.events import HeartbeatReceived, TaskOutputReceived
from projections.catalogue import BUSINESS, READ_MODELS, TELEMETRY
from projections.migrate import point_views, prepare
from projections.read_model import ReadModel, Tally
from projections.statements import ddl_parts, schema_of
from tests.projections.farm import Farm
from tests.projections.feed import recorded
from tests.projections.tables import project

BIG, SMALL, ADMIN = UUID(int=1), UUID(int=3), UUID(int=2)
LONG_TASK = UUID(int=1)
"""It wrote a hundred thousand lines, on every farm."""
SERVERS = 8
TASKS_A_DAY: Final = 1_000
LOG_LINES_MAX: Final = 200_000
"""The system log is kept for 30 days, so it is long at most."""

KINDS: Final = ("completed", "failed", "cancelled", "rare", "running", "waiting")
"""What became of a task."""

MADE: Final = """
    CREATE TABLE made AS
    SELECT n, lpad(to_hex(n), 32, '0')::uuid AS task_id,
        CASE WHEN n % 10 < 5 OR kind = 'rare' THEN 1
            ELSE 3 + floor(power(abs(hashint8(n)) / 2147483648.0, 2) * {users})::bigint
        END AS owner,
        kind, now() - ({tasks} - n) * interval '1 day' / {a_day} AS at
    FROM generate_series(1::bigint, {tasks}) AS n, LATERAL (
        SELECT CASE WHEN n > {tasks} - 30 THEN 'waiting' WHEN n > {tasks} - 38 THEN 'running'
            WHEN n % ({tasks} / 25) = 7 THEN 'rare' WHEN n % 20 = 3 THEN 'failed'
            WHEN n % 20 = 4 THEN 'cancelled' ELSE 'completed' END AS kind
    ) AS as_what;
    CREATE TABLE owners AS
    SELECT n, lpad(to_hex(n), 32, '0')::uuid AS user_id
    FROM generate_series(1, {users} + 3) AS n;
"""
COPIES: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "users": (
        "owners JOIN template_of_users AS t ON (t.role = 'admin') = (n % 50 = 2)",
        {
            "user_id": "owners.user_id",
            "email": "'e' || n || '@example.com'",
            "username": "'user' || n",
            "is_active": "n < 4 OR n % 40 <> 1",
            "created_at": "now() - ({users} - n) * interval '1 hour'",
        },
    ),
    "tasks": (
        """
            made JOIN owners ON owner = owners.n
            JOIN kinds USING (kind) JOIN template_of_tasks AS t ON t.task_id = kinds.task_id
        """,
        {
            "task_id": "made.task_id",
            "user_id": "owners.user_id",
            "priority": "1 + made.n % 5",
            "queued_at": "made.at",
            "created_at": "made.at",
            "started_at": "CASE WHEN t.started_at IS NOT NULL THEN made.at END",
            "updated_at": "made.at + made.n * 7919 % 1000 * interval '1 second'",
        },
    ),
    "task_events": (
        """
            made JOIN kinds USING (kind)
            JOIN (
                SELECT *, row_number() OVER (PARTITION BY task_id ORDER BY position) AS nth
                FROM template_of_task_events
            ) AS t ON t.task_id = kinds.task_id
        """,
        {
            "task_id": "made.task_id",
            "position": "made.n * 20 + nth",
            "recorded_at": "made.at + nth * interval '1 second'",
        },
    ),
    "task_output": (
        """
            made CROSS JOIN template_of_task_output AS t
            CROSS JOIN generate_series(1, CASE made.n WHEN 1 THEN 1000 ELSE 1 END) AS chunk
            WHERE made.n = 1 OR made.n % 4 = 0 AND kind = 'completed'
        """,
        {
            "task_id": "made.task_id",
            "sequence": "chunk",
            "position": "made.n * 1000 + chunk",
            "recorded_at": "made.at + chunk * interval '1 second'",
        },
    ),
    "user_actions": (
        """
            made JOIN owners ON owner = owners.n CROSS JOIN (
                SELECT * FROM template_of_user_actions
                WHERE tag = 'tasks.task_submitted/1' LIMIT 1
            ) AS t
        """,
        {
            "position": "made.n",
            "actor_id": "owners.user_id",
            "actor": "'user:' || owners.user_id",
            "recorded_at": "made.at",
        },
    ),
    "recharge_codes": (
        """
            made JOIN template_of_recharge_codes AS t ON t.amount_fen = CASE
            WHEN n > {tasks} / 5 - 20 THEN 4 WHEN n > {tasks} / 5 - 40 THEN 3
            WHEN n % 50 < 20 THEN 1 WHEN n % 50 < 35 THEN 2 ELSE 5 END WHERE n <= {tasks} / 5
        """,
        {
            "code_id": "made.task_id",
            "created_at": "made.at",
            "expires_at": "CASE t.amount_fen WHEN 2 THEN made.at + interval '1 minute'"
            " WHEN 3 THEN now() + made.n % 30 * interval '1 day' + interval '1 hour' END",
        },
    ),
    "recharge_records": (
        """
            made JOIN owners ON owner = owners.n
            JOIN template_of_recharge_records AS t ON t.amount_fen = 1
            WHERE made.n <= {tasks} / 5
        """,
        {
            "record_id": "made.task_id",
            "user_id": "owners.user_id",
            "code_id": "made.task_id",
            "position": "made.n",
            "redeemed_at": "made.at",
        },
    ),
}
"""For each table that grows: what is joined to its template ``t``, and which columns differ."""
SUMS: Final[dict[str, tuple[str, str, str]]] = {
    "task_counts": ("tasks", "user_id, status, task_type, deleted_at IS NOT NULL", "count(*)"),
    "task_totals": ("tasks", "status, task_type, deleted_at IS NOT NULL", "count(*)"),
    "user_totals": ("users", "role, is_active", "count(*)"),
    "recharged_totals": ("users", "role, is_active", "sum(recharged_fen)"),
    "granted_totals": ("users", "role, is_active", "sum(granted_fen)"),
    "spent_totals": ("users", "role, is_active", "sum(total_cost_fen)"),
    "task_output_lines": ("task_output", "task_id", "sum(line_count)"),
    "action_counts": ("user_actions", "(recorded_at AT TIME ZONE 'UTC')::date", "count(*)"),
    "actor_action_counts": (
        "user_actions",
        "actor_id, (recorded_at AT TIME ZONE 'UTC')::date",
        "count(*)",
    ),
    "actor_action_totals": ("user_actions", "actor_id", "count(*)"),
    "subject_action_counts": (
        "user_actions",
        "subject_id, (recorded_at AT TIME ZONE 'UTC')::date",
        "count(*) FILTER (WHERE subject_id <> '00000000-0000-0000-0000-000000000000')",
    ),
    "code_counts": (
        "recharge_codes",
        """
            state, coalesce(
                CASE state WHEN 'open' THEN (expires_at AT TIME ZONE 'UTC')::date END,
                DATE '9999-12-31'
            )
        """,
        "count(*)",
    ),
    "recharge_counts": ("recharge_records", "user_id", "count(*)"),
}
BESIDE: Final = """
    UPDATE rm_gpu_servers_g1.gpu_servers SET last_seen_at = now() + interval '1 hour';
    UPDATE rm_gpu_status_g1.gpu_status SET received_at = now() + interval '1 hour';
    INSERT INTO owl_private.credentials (
        user_id, email_claim, password_hash, token_version, role, is_active
    )
    SELECT user_id, user_id, '-', 1, role, true FROM read.users WHERE user_id IN (
        '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002'
    );
    INSERT INTO owl_log.system_log (
        logged_at, level, program, logger, event, request_id, message, fields
    )
    SELECT now() - ({lines} - n) * interval '30 days' / {lines},
        CASE WHEN n % 10 = 0 THEN 'ERROR' ELSE 'WARNING' END, 'serve', 'api.access', 'request',
        md5(n::text), CASE WHEN n % ({lines} / 25) = 3 THEN '队列已满' ELSE 'request' END
            || ' request_id=' || md5(n::text), '{{"status": 503}}'
    FROM generate_series(1, {lines}) AS n;
    INSERT INTO owl_log.system_log_counts
    SELECT (logged_at AT TIME ZONE 'UTC')::date, level, count(*) FROM owl_log.system_log
    GROUP BY 1, 2;
    DROP TABLE made, owners, kinds;
"""


def write_farm(conninfo: str, tasks_wanted: int) -> None:
    """Fill a database that has an empty log with a farm of so many tasks."""
    prepare(conninfo)
    kinds = _template(conninfo)
    counts = {"tasks": tasks_wanted, "users": max(200, tasks_wanted // 200)}
    counts |= {"a_day": TASKS_A_DAY, "lines": min(tasks_wanted, LOG_LINES_MAX)}
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute("SET synchronous_commit = off")
        connection.execute(MADE.format(**counts).encode())
        connection.execute("CREATE TABLE kinds (kind text PRIMARY KEY, task_id uuid)")
        for kind, task_id in kinds.items():
            connection.execute("INSERT INTO kinds VALUES (%s, %s)", (kind, task_id))
        for read_model in READ_MODELS:
            if any(table.name in COPIES for table in read_model.tables):
                _multiply(connection, read_model, counts)
        connection.execute(BESIDE.format(**counts).encode())
        connection.execute("VACUUM ANALYZE")


def _multiply(
    connection: psycopg.Connection[Any], read_model: ReadModel, counts: dict[str, int]
) -> None:
    """Copies in place of the rows, indexes made afterwards as a rebuild makes them."""
    schema = schema_of(read_model.name, 1)
    before, after = ddl_parts(read_model)
    connection.execute(sql.SQL("SET search_path = {}, public").format(sql.Identifier(schema)))
    templates = [f"template_of_{table.name}" for table in read_model.tables]
    for table, template in zip(read_model.tables, templates, strict=True):
        connection.execute(f"CREATE TABLE public.{template} AS TABLE {table.name}".encode())
    for name in read_model.relations:
        connection.execute(f"DROP TABLE {name} CASCADE".encode())
    connection.execute(before.encode())
    for table, template in zip(read_model.tables, templates, strict=True):
        source, differing = COPIES[table.name]
        values = [differing.get(name, f"t.{name}") for name in table.row.__struct_fields__]
        copied = (
            f"INSERT INTO {table.name} ({', '.join(table.row.__struct_fields__)})"
            f" SELECT {', '.join(values)} FROM {source}"
        )
        connection.execute(copied.format(**counts).encode())
        connection.execute(f"DROP TABLE public.{template}".encode())
    for tally in read_model.tallies:
        connection.execute(_summed(tally).encode())
    connection.execute(after.encode())
    point_views(connection, read_model, 1)


def _summed(tally: Tally) -> str:
    table, group, amount = SUMS[tally.name]
    numbers = ", ".join(str(number + 1) for number in range(len(tally.columns)))
    return f"INSERT INTO {tally.name} SELECT {group}, {amount} FROM {table} GROUP BY {numbers}"


def _live(farm: Farm, kind: str) -> UUID:
    """A task that comes to this end."""
    user, server = farm.users[0], farm.servers[0]
    task = farm.submit(user, "test" if kind == "rare" else "video_analysis")
    if kind in {"completed", "rare"}:
        farm.complete(task)
    if kind in {"failed", "running"}:
        farm.assign(task, server)
        farm.begin(task, server)
    if kind == "failed":
        message = "the video cannot be read"
        farm.end(task, server, "failed", reason="user_error", error_message=message)
    if kind == "cancelled":
        stop = tasks.CancelTask(task_id=task, user_id=user, is_admin=False, at=farm.now)
        farm.run(tasks.cancel_task, stop)
    return task


def _template(conninfo: str) -> dict[str, UUID]:
    """A farm on which each thing happens once; the task of each kind."""
    farm = Farm(0)
    user, admin = farm.register(), farm.register()
    role = administration.UpdateUser(user_id=admin, actor_id=None, role="admin")
    farm.run(administration.update_user, role)
    farm.redeem(user, farm.issue(10_000_000, max_uses=1))
    for amount_fen in range(1, 6):
        code = farm.issue(amount_fen, max_uses=1)
        if amount_fen == 1:
            farm.redeem(user, code)
        if amount_fen == 5:
            farm.run(recharge.revoke_code, recharge.RevokeCode(code_id=code))
    servers = [farm.enrol(f"gpu-{number}", slots=16) for number in range(SERVERS)]
    beats = [farm.beat(server) for server in servers]
    farm.actor = f"user:{user}"
    kinds = {kind: _live(farm, kind) for kind in KINDS}
    project(conninfo, farm.events, BUSINESS)
    written = TaskOutputReceived(
        task_id=kinds["completed"],
        attempt=1,
        sequence=1,
        server_id=servers[0],
        lines=tuple(
            OutputLine(at=farm.now, level="INFO", text=f"frame {number}: 镜头 {number % 7}")
            for number in range(100)
        ),
    )
    heard = [
        HeartbeatReceived(
            server_id=beat.server_id,
            boot_id=beat.boot_id,
            sequence=beat.sequence,
            sent_at=beat.sent_at,
            host=HostSample(cpu_percent=45.2, memory_percent=68.3),
            gpus=beat.gpus,
        )
        for beat in beats
    ]
    at = farm.now + timedelta(seconds=1)
    events = [recorded(fact, fact.server_id, n, at) for n, fact in enumerate(heard, 1)]
    chunk = recorded(written, kinds["completed"], len(events) + 1, at)
    project(conninfo, [*events, chunk], TELEMETRY)
    return kinds
