"""What the rows of a farm for benchmarks are made of: the SQL of ``farms``.

``template_of_…`` are the rows that the folds made, ``made`` one line for each task wanted.
"""

from __future__ import annotations

from typing import Final

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
LOG: Final = """
    INSERT INTO owl_log.events
    SELECT 1000 + made.n * 20 + nth,
        CASE WHEN topic LIKE 'wallet.%' THEN lpad('a', 32, '0')::uuid ELSE made.task_id END,
        1000 + made.n * 20 + nth, topic, state, made.at + nth * interval '1 second', actor,
        lpad(to_hex(1000 + made.n * 20 + nth), 32, '0')::uuid, correlation_id, NULL
    FROM made JOIN kinds USING (kind) JOIN (
        SELECT *, row_number() OVER (PARTITION BY task_id ORDER BY notification_id) AS nth
        FROM (
            SELECT *, (owl_log.readable(state) ->> 'task_id')::uuid AS task_id
            FROM template_of_log WHERE topic ~ '^(tasks|wallet.hold)'
        ) AS about
    ) AS t ON t.task_id = kinds.task_id
    ORDER BY made.n, nth;
    UPDATE owl_read.checkpoints
    SET position = (SELECT max(notification_id) FROM owl_log.events) WHERE source = 'business';
    DROP TABLE template_of_log;
"""
"""What the tasks' own streams and their owners' accounts say, of each task alike."""
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
            owl_log.events JOIN made ON made.n = (notification_id - 1000) / 20
            WHERE topic LIKE 'wallet.%'
        """,
        {"task_id": "made.task_id", "position": "notification_id"},
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
            made JOIN owners ON owner = owners.n
            JOIN owl_log.events ON made.n = (notification_id - 1000) / 20
            CROSS JOIN (SELECT * FROM template_of_user_actions LIMIT 1) AS t
            WHERE topic = 'tasks.task_submitted/2' AND notification_id > 1000
        """,
        {
            "position": "notification_id",
            "actor_id": "owners.user_id",
            "subject_id": "lpad('0', 32, '0')::uuid",
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
