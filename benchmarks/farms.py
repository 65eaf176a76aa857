"""Farms of any size for benchmarks of what is read: rows that the folds made, many times over.

A small farm lives through its commands, and the folds make its rows. Those rows are then copied
by SQL under other ids, owners and times, and the tallies summed up from the copies; so are its
events in the log, from which the logs of tasks are read. Folding seven million events would
take longer than all the rest of a benchmark that does not measure it. What stands in the tables
has the same form all the same.

Uneven as farms are: one user owns half of all, others little; nearly every task has completed,
some failed, and of one type there are 25 in all. What is alive (the queue, what runs, servers,
codes that can be used) is the same on every farm, since it is load and not history; so is a
day's traffic, and the large farm is a thousand days old.
"""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import sql

from api.clock import new_id, now
from benchmarks.farm_rows import BESIDE, COPIES, LOG, MADE, SUMS
from benchmarks.http import SECRETS
from commands import accounts, administration, recharge, tasks
from commands.event_log.log import EventLog
from commands.writer import Writer
from domain.envelope import Actor, Context
from domain.fleet.messages import HostSample, OutputLine
from domain.telemetry.events import HeartbeatReceived, TaskOutputReceived
from projections.catalogue import BUSINESS, READ_MODELS, TELEMETRY
from projections.migrate import point_views, prepare
from projections.read_model import ReadModel, Tally
from projections.statements import ddl_parts, schema_of
from tests.projections.farm import Farm
from tests.projections.feed import recorded
from tests.projections.tables import project, write_log

BIG, SMALL, ADMIN = UUID(int=1), UUID(int=3), UUID(int=2)
LONG_TASK = UUID(int=1)
"""It wrote a hundred thousand lines, on every farm."""
SERVERS = 8
TASKS_A_DAY: Final = 1_000
LOG_LINES_MAX: Final = 200_000
"""The system log is kept for 30 days, so it is long at most."""

KINDS: Final = ("completed", "failed", "cancelled", "rare", "running", "waiting")
"""What became of a task."""


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
        connection.execute(LOG.encode())
        for read_model in READ_MODELS:
            if any(table.name in COPIES for table in read_model.tables):
                _multiply(connection, read_model, counts)
        connection.execute(BESIDE.format(**counts).encode())
        connection.execute("VACUUM ANALYZE")
    asyncio.run(_sign_up(conninfo))


async def _sign_up(conninfo: str) -> None:
    """Those who will ask have accounts: the log has their keys, and the gate their standing."""
    with EventLog.open(conninfo, secrets=SECRETS, require_durable=False) as log:
        async with Writer(log, now) as writer:
            for user_id in (BIG, ADMIN):
                command = accounts.RegisterUser(
                    user_id=user_id,
                    email=f"{user_id.hex}@example.com",
                    username=f"user{user_id.int}",
                    full_name="猫头鹰",
                    password_hash="-",
                    email_claim=new_id(),
                    username_claim=new_id(),
                    subject_key=os.urandom(32),
                )
                await writer.run(accounts.register_user, command, _context())
            role = administration.UpdateUser(user_id=ADMIN, actor_id=None, role="admin")
            await writer.run(administration.update_user, role, _context())


def _context() -> Context:
    actor = Actor("system", "benchmark")
    return Context(command_id=new_id(), actor=actor, correlation_id="benchmark")


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
    write_log(conninfo, farm.events)
    with psycopg.connect(conninfo) as connection:
        connection.execute("CREATE TABLE template_of_log AS TABLE owl_log.events")
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
