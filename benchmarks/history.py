"""A long, valid history for benchmarks of what reads the log: whole lives of users and tasks.

One life is played by the domain's own commands, then written again and again under other ids,
straight into the table: a million events in some twenty seconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg

from domain.audit.canonical import StoredEvent
from domain.ids import account_stream, uuid7
from tests.audit.stories import Story, insert
from tests.commands.farm import VIDEO
from tests.domain.cast import ALICE, SERVER_ID, after, registered

TASKS_OF_A_USER = 100
BATCH = 50_000


def fresh_id() -> UUID:
    """A time-ordered id."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


def write_history(conninfo: str, events: int) -> int:
    """Put at least ``events`` events into an empty log; how many those are."""
    written, batch = 0, list[StoredEvent]()
    with psycopg.connect(conninfo) as connection:
        for event in _renumbered(events):
            batch.append(event)
            if len(batch) == BATCH:
                insert(connection, batch)
                written += len(batch)
                batch.clear()
        insert(connection, batch)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE owl_log.events")
    return written + len(batch)


def _renumbered(events: int) -> Iterator[StoredEvent]:
    position = command = 0
    story = Story()
    story.with_server()
    farm = story.stored()
    lives = _lives()
    rows: list[StoredEvent] = farm
    while position < events:
        causes: dict[bytes, bytes] = {}
        for row in rows:
            if row.command_id not in causes:
                command += 1
                causes[row.command_id] = UUID(int=command).bytes
            position += 1
            yield row._replace(
                position=position,
                causation=position - 1 or None,
                command_id=causes[row.command_id],
                recorded_at_us=farm[0].recorded_at_us + 1_000 * command,
            )
        rows = next(lives)


def _lives() -> Iterator[list[StoredEvent]]:
    """A user who recharges and runs a hundred tasks, over and over, each time another user."""
    template, names = _template()
    while True:
        ids = {name: fresh_id() for name in names}
        texts = [(str(name).encode(), str(ids[name]).encode()) for name in names]
        streams = {name.bytes: ids[name].bytes for name in names}
        streams[account_stream(ALICE).bytes] = account_stream(ids[ALICE]).bytes
        rows = []
        for row in template:
            state = row.state
            for old, new in texts:
                if old in state:
                    state = state.replace(old, new)
            rows.append(row._replace(state=state, stream=streams[row.stream]))
        yield rows


def _template() -> tuple[list[StoredEvent], list[UUID]]:
    story = Story()
    story.with_server()
    skipped = len(story.story)
    story.given(ALICE, registered())
    story.with_balance(10**7)
    names = [ALICE, UUID(int=len(story.story) - 2)]
    for number in range(TASKS_OF_A_USER):
        task = UUID(int=(9 << 64) + number)
        about: dict[str, Any] = {"task_id": task, "server_id": SERVER_ID}
        story.submit(VIDEO, task_id=task)
        story.assign(**about)
        story.began(**about)
        story.advanced(40, **about)
        story.ended("completed", run_ms=60_000, at=after(90), **about)
        names.append(task)
    return story.stored()[skipped:], names
