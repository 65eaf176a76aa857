"""Whole histories for the auditors' tests: played by the domain's own commands, from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from msgspec import Struct

from domain.audit.canonical import StoredEvent
from domain.catalogue import encode
from domain.errors import Refused
from domain.facts import Fact, tag_of
from domain.ids import CONFIGURATION_STREAM
from domain.system.events import ConfigurationChanged
from tests.commands.farm import FREE, VIDEO, Farm
from tests.domain.cast import ALICE, BOB, NOON, after, registered
from tests.memory import MemoryWork

C = TypeVar("C", bound=Struct)
R = TypeVar("R")

NOON_US = round(NOON.timestamp() * 1_000_000)
INSERT = """
    COPY owl_log.events (notification_id, originator_id, originator_version, topic, recorded_at,
        actor, correlation_id, causation_id, command_id, state) FROM STDIN (FORMAT BINARY)
"""
COLUMN_TYPES = (
    *("int8", "uuid", "int8", "text", "timestamptz"),
    *("text", "text", "int8", "uuid", "bytea"),
)


class Story(Farm):
    """A farm that remembers which facts belong to one command."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: list[int] = []

    def given(self, stream: UUID, *facts: Fact) -> None:
        """Facts outside a command: each is one of its own."""
        super().given(stream, *facts)
        while len(self.commands) < len(self.story):
            self.commands.append(len(self.commands) + 1)

    def run(self, handler: Callable[[C, MemoryWork], R], command: C) -> R:
        """As in memory, noting where the command ends."""
        before = len(self.story)
        result = super().run(handler, command)
        self.commands[before:] = [before + 1] * (len(self.story) - before)
        return result

    def stored(self) -> list[StoredEvent]:
        """The story as rows of the log; causation is what the command before it said last."""
        versions: dict[UUID, int] = {}
        events = []
        for position, (stream, fact) in enumerate(self.story, 1):
            versions[stream] = versions.get(stream, 0) + 1
            command = self.commands[position - 1]
            events.append(
                StoredEvent(
                    position=position,
                    stream=stream.bytes,
                    version=versions[stream],
                    tag=tag_of(fact),
                    recorded_at_us=NOON_US + 1_000_000 * command,
                    actor=f"user:{ALICE}",
                    correlation=f"request-{command // 5}",
                    causation=command - 1 or None,
                    command_id=UUID(int=command).bytes,
                    state=encode(fact),
                )
            )
        return events


def played(seed: int, events: int) -> Story:
    """At least ``events`` events of a farm with users, codes, servers and tasks."""
    dice, story, now = random.Random(seed), Story(), NOON
    tasks: list[UUID] = []
    story.given(ALICE, registered())
    story.given(BOB, registered(user_id=BOB, email="bob@example.com", username="bob"))
    limit = {"max_concurrent_tasks_per_user": 3}
    story.given(CONFIGURATION_STREAM, ConfigurationChanged(before={}, after=limit))
    story.with_server()
    ids = count(1)
    while len(story.story) < events:
        now += timedelta(seconds=dice.randrange(1, 90))
        user = dice.choice([ALICE, BOB])
        task = dice.choice(tasks[-6:]) if tasks else UUID(int=0)
        attempt = story.task(task).attempt if tasks else 1
        about: dict[str, Any] = {"task_id": task, "at": now}
        try:
            match dice.randrange(9):
                case 0:
                    story.with_balance(dice.randrange(1, 20_000), user)
                case 1 | 2:
                    new = UUID(int=(7 << 64) + next(ids))
                    order = dice.choice([VIDEO, FREE])
                    story.submit(order, task_id=new, user_id=user, at=now)
                    tasks.append(new)
                case 3:
                    story.assign(attempt, **about)
                case 4:
                    story.began(attempt, **about)
                case 5:
                    story.advanced(dice.random() * 100, attempt, **about)
                case 6:
                    outcome = dice.choice(["completed", "failed", "cancelled", "refused"])
                    story.ended(outcome, attempt, run_ms=dice.randrange(90_000), **about)  # type: ignore[arg-type]
                case 7:
                    story.cancel(user_id=user, **about)
                case _:
                    story.meter(now, attempt, task)
        except Refused:
            continue
    return story


def insert(connection: psycopg.Connection[Any], events: Sequence[StoredEvent]) -> None:
    """Put rows into the log as they are."""
    with connection.cursor() as cursor, cursor.copy(INSERT) as copy:
        copy.set_types(COLUMN_TYPES)
        for event in events:
            at = after((event.recorded_at_us - NOON_US) / 1_000_000)
            row = event._replace(
                stream=UUID(bytes=event.stream),  # type: ignore[arg-type]
                command_id=UUID(bytes=event.command_id),  # type: ignore[arg-type]
                recorded_at_us=at,  # type: ignore[arg-type]
            )
            copy.write_row(row)
