"""A valid history of any length, made by the server itself: ten million events in minutes.

One life of a user with a hundred tasks is played by the domain's own commands; PostgreSQL
writes it again and again under other ids. Every row is one that the platform could have
written, so it hashes, folds and adds up.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID

import psycopg

from benchmarks.history import _template
from domain.audit.canonical import StoredEvent
from domain.ids import account_stream
from tests.audit.stories import NOON_US, Story, insert
from tests.domain.cast import NOON

LIVES_TOGETHER: Final = 200
BEGAN: Final = NOON + timedelta(seconds=1)
BEGAN_US: Final = NOON_US + 1_000_000
EVENTS_OF_A_LIFE: Final = len(_template()[0])
TABLE: Final = """
    CREATE TEMPORARY TABLE life (
        n bigint, command bigint, member bigint, task bigint, version bigint, topic text,
        state text, actor text, correlation text
    )
"""
FILL: Final = """
    INSERT INTO life VALUES (
        %(n)s, %(command)s, %(member)s, %(task)s, %(version)s, %(topic)s,
        %(state)s, %(actor)s, %(correlation)s)
"""
# members of a life: 0 the user, 1 the code, 2 and more the tasks; -1 the user's account
ID: Final = "(lpad(to_hex(nth), 8, '0') || '-0000-7000-8000-' || lpad(to_hex({}), 12, '0'))"
MULTIPLY: Final = f"""
    INSERT INTO owl_log.events (notification_id, originator_id, originator_version, topic,
        state, recorded_at, actor, command_id, correlation_id, causation_id)
    SELECT %(base)s + (nth - 1) * %(length)s + n,
        CASE member WHEN -1 THEN account ELSE {ID.format("member")}::uuid END,
        version, topic,
        convert_to(replace(replace(replace(state,
            '<0>', {ID.format("0::bigint")}), '<1>', {ID.format("1::bigint")}),
            '<task>', {ID.format("task")}), 'UTF8'),
        %(began)s::timestamptz + ((nth - 1) * %(commands)s + command) * interval '1 ms',
        replace(actor, '<0>', {ID.format("0::bigint")}),
        {ID.replace("-7000-", "-4000-").format("command")}::uuid,
        correlation, %(base)s + (nth - 1) * %(length)s + n - 1
    FROM unnest(%(accounts)s::uuid[]) WITH ORDINALITY AS each (account, number)
    CROSS JOIN LATERAL (SELECT %(before)s + number AS nth) AS numbered
    CROSS JOIN life ORDER BY nth, n
"""


Between: TypeAlias = Callable[[psycopg.Connection[Any], int, int], int]
"""Writes events of others behind a position, recorded at a time in µs; how many those were."""


def write_long_history(
    conninfo: str,
    events: int,
    *,
    together: int = LIVES_TOGETHER,
    between: Between = lambda *_: 0,
) -> int:
    """Put at least ``events`` events into an empty log; how many those are.

    Of lives alone, unless something is written ``between`` each ``together`` of them.
    """
    story = Story()
    story.with_server()
    farm = story.stored()
    template, names = _template()
    rows = _life(template, names)
    commands = rows[-1]["command"]
    lives = -(-max(0, events - len(farm)) // len(rows))
    with psycopg.connect(conninfo, autocommit=True) as connection:
        insert(connection, farm)
        connection.execute("SET synchronous_commit = off")
        connection.execute(TABLE)
        with connection.cursor() as cursor:
            cursor.executemany(FILL, rows)
        base = len(farm)
        for before in range(0, lives, together):
            at_us = BEGAN_US + 1_000 * commands * before
            base += between(connection, base + before * len(rows), at_us)
            upto = min(lives, before + together)
            accounts = [account_stream(_user(nth)) for nth in range(before + 1, upto + 1)]
            given = {"base": base, "length": len(rows), "commands": commands}
            began = {"began": BEGAN, "before": before, "accounts": accounts}
            connection.execute(MULTIPLY.encode(), given | began)
        connection.execute("VACUUM ANALYZE owl_log.events")
    return base + lives * len(rows)


def member(nth: int, number: int) -> UUID:
    """A user (0) or one of the user's tasks (2 and more) of the life ``nth``, from 1."""
    return UUID(f"{nth:08x}-0000-7000-8000-{number:012x}")


def _user(nth: int) -> UUID:
    return member(nth, 0)


def _life(template: list[StoredEvent], names: list[UUID]) -> list[dict[str, Any]]:
    """The rows of one life, with marks where ids stand."""
    number_of = {name.bytes: number for number, name in enumerate(names)}
    number_of[account_stream(names[0]).bytes] = -1
    rows, commands = [], list[bytes]()
    for n, event in enumerate(template, 1):
        if not commands or commands[-1] != event.command_id:
            commands.append(event.command_id)
        state, actor, task = event.state.decode(), event.actor, 2
        for number, name in enumerate(names):
            if str(name) in state:
                task = max(task, number)
                state = state.replace(str(name), f"<{number}>" if number < 2 else "<task>")
        rows.append(
            {
                "n": n,
                "command": len(commands),
                "member": number_of[event.stream],
                "task": task,
                "version": event.version,
                "topic": event.tag,
                "state": state,
                "actor": actor.replace(str(names[0]), "<0>"),
                "correlation": event.correlation,
            }
        )
    return rows
