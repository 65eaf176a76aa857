"""Row 6: rebuilding a read model, full path in one process, against reading its log.

Limit: psycopg's ``cursor.stream`` over the log and msgspec decoding every fact, nothing else.
Ours: a rebuild of the tasks from position 0: read, decode, fold, write rows and tallies, make
all indexes, analyse, compare with the live rows by checksum, switch. Once reading through the
live feed, as ``owl projections rebuild`` does, and once through the limit's own stream.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from random import Random
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.measure import Ratio, measure, options, tell
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from domain.catalogue import decode, encode
from domain.envelope import Recorded
from domain.facts import tag_of
from projections.building import History
from projections.migrate import prepare
from projections.rebuild import rebuild
from projections.runner import Runner
from projections.tasks import TASKS
from tests.projections.farm import Farm
from tests.stack import live_stack

TASKS_LIVED = 12_000
USERS = 400
AT_ONCE = 40
APPEND_LOCK = (7305068, 1)
STREAM_ROWS = 1_000
RATIO = Ratio(
    row=6,
    name="a whole rebuild over only reading and decoding",
    ours="ours: rebuild of the tasks, streamed, events/s",
    other="limit: cursor.stream + msgspec decode, events/s",
    target=0.5,
    moonshot=0.8,
)
THROUGH_FEED = "ours: rebuild of the tasks, by the live feed, events/s"
COPY = """
    COPY owl_log.events (notification_id, originator_id, originator_version, topic, state,
        recorded_at, actor, command_id, correlation_id) FROM STDIN
"""
STREAM = """
    SELECT notification_id, originator_id, originator_version, recorded_at, actor, command_id,
        correlation_id, causation_id, state
    FROM owl_log.events WHERE notification_id > %s AND notification_id <= %s
    ORDER BY notification_id
"""


def lives() -> list[Recorded[Any]]:
    """The lives of tasks, interleaved as on a busy farm; no user, so nothing is encrypted."""
    farm, random = Farm(1), Random(1)
    server = farm.enrol(slots=AT_ONCE)
    farm.beat(server)
    users = [farm.fresh() for _ in range(USERS)]
    alive: list[tuple[UUID, Iterator[None]]] = []
    begun = 0
    while begun < TASKS_LIVED or alive:
        if begun < TASKS_LIVED and len(alive) < AT_ONCE:
            begun += 1
            task = farm.submit(random.choice(users), "test")
            alive.append((task, life(farm, task, server)))
        one = random.choice(alive)
        if next(one[1], 0) == 0:
            alive.remove(one)
    return farm.events


def life(farm: Farm, task: UUID, server: UUID) -> Iterator[None]:
    """One step at a time."""
    farm.assign(task, server)
    yield
    farm.begin(task, server)
    yield
    farm.advance(task, server, 40.0)
    yield
    farm.end(task, server, run_ms=1_000, result={"duration_s": 12.5, "scenes": [0.0, 3.2]})


class Rebuilds:
    """A log with a long history, and the ways through it."""

    def __init__(self, url: str) -> None:
        prepare(url)
        self._url = url
        secrets = Secrets(pepper=os.urandom(32), sealing_key=os.urandom(32))
        self._fill(lives())
        self._log = EventLog.open(url, secrets=secrets, require_durable=True)
        self._head = self._log.feed().head()
        runner = Runner(self._log.feed(), url, [TASKS], projected=None)
        while runner.step():
            pass
        runner.close()

    def streamed_per_s(self) -> float:
        """The limit."""
        began, count = time.perf_counter(), 0
        with psycopg.connect(self._url) as connection, connection.cursor(binary=True) as cursor:
            for row in cursor.stream(STREAM, (0, self._head), size=STREAM_ROWS, binary=True):
                decode(row[8])
                count += 1
        assert count == self._head
        return count / (time.perf_counter() - began)

    def rebuilt_per_s(self, history: History | None) -> float:
        """A whole rebuild."""
        done = rebuild(
            self._url,
            self._log.feed(),
            TASKS,
            append_lock=APPEND_LOCK,
            progress=lambda _: None,
            history=history,
        )
        assert done.compared
        assert not done.differing
        return self._head / done.seconds

    def stream(self, after: int, upto: int) -> Iterator[Sequence[Recorded[Any]]]:
        """The limit's way of reading, as events."""
        with psycopg.connect(self._url) as connection, connection.cursor(binary=True) as cursor:
            batch = []
            for row in cursor.stream(STREAM, (after, upto), size=STREAM_ROWS, binary=True):
                batch.append(
                    Recorded(
                        position=row[0],
                        stream=row[1],
                        version=row[2],
                        recorded_at=row[3],
                        actor=row[4],
                        command_id=row[5],
                        correlation_id=row[6],
                        causation_id=row[7],
                        fact=decode(row[8]),
                    )
                )
                if len(batch) == STREAM_ROWS:
                    yield batch
                    batch = []
            if batch:
                yield batch

    def close(self) -> None:
        """Give the connections back."""
        self._log.close()

    def _fill(self, events: Sequence[Recorded[Any]]) -> None:
        versions: dict[UUID, int] = {}
        with psycopg.connect(self._url) as connection:
            with connection.cursor() as cursor, cursor.copy(COPY) as copy:
                for event in events:
                    version = versions[event.stream] = versions.get(event.stream, 0) + 1
                    copy.write_row(
                        (
                            event.position,
                            event.stream,
                            version,
                            tag_of(event.fact),
                            encode(event.fact),
                            event.recorded_at,
                            event.actor,
                            event.command_id,
                            event.correlation_id,
                        )
                    )
            connection.commit()
            connection.autocommit = True
            connection.execute("VACUUM ANALYZE owl_log.events")


def main() -> None:
    """Run."""
    chosen = options(__doc__ or "")
    with ExitStack() as open_:
        stack = open_.enter_context(live_stack(profile="durable", with_nats=False))
        rebuilds = Rebuilds(stack.create_database())
        open_.callback(rebuilds.close)
        contestants: dict[str, Callable[[], float]] = {
            RATIO.other: rebuilds.streamed_per_s,
            RATIO.ours: lambda: rebuilds.rebuilt_per_s(rebuilds.stream),
            THROUGH_FEED: lambda: rebuilds.rebuilt_per_s(None),
        }
        tell(measure(contestants, (RATIO,), chosen), chosen)


if __name__ == "__main__":
    main()
