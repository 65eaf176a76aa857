"""Row 13: what anything was at a position or a time, however long the log and old the entity.

A log of whole lives, and between them a few entities that are as old as the log: a server that
comes and goes, a user with their account, a task that is never done, a code that thousands
redeem; together a twentieth of all events. States are kept as ``owl work`` keeps them, then
asked for as ``owl audit state --at`` does: of random entities at random positions and times,
and of the old ones alone. Beside it the same folded from the first event on, as ``--whole``.
``--events 10000000`` is the size that is promised.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from itertools import islice
from typing import Any, Final, TypeAlias
from uuid import UUID

import psycopg

from benchmarks.long_history import EVENTS_OF_A_LIFE, member, write_long_history
from benchmarks.measure import Ratio, measure, options, tell
from domain.audit.canonical import StoredEvent
from domain.catalogue import encode
from domain.facts import Fact, tag_of
from projections.audit.entity import Entity, state
from projections.audit.keeping import Keeper
from projections.audit.snapshots import Snapshots
from projections.audit.story import position_at
from tests.audit.old_age import SERVER, ageing
from tests.audit.stories import insert
from tests.domain.cast import ALICE, CODE_ID, NOON, TASK_ID
from tests.stack import live_stack

EVENTS: Final = 100_000
OLD_SHARE: Final = 0.05
BATCHES: Final = 200
ASKED: Final = 400
ASKED_WHOLE: Final = 12
OLD: Final = (
    Entity("user", ALICE),
    Entity("server", SERVER),
    Entity("code", CODE_ID),
    Entity("task", TASK_ID),
)
LIMIT: Final = "limit: 50 ms"
RATIO: Final = Ratio(
    row=13,
    name="the state of any entity as of a position, p95 over 50 ms",
    ours="ours: random entities and positions, p95, ms",
    other=LIMIT,
    target=1.0,
    moonshot=0.2,
    less_is_better=True,
)
OF_OLD: Final = Ratio(
    row=13,
    name="the state of the oldest entities as of a position, p95 over 50 ms",
    ours="ours: the oldest entities, random positions, p95, ms",
    other=LIMIT,
    target=1.0,
    moonshot=0.2,
    less_is_better=True,
)
AT_A_TIME: Final = "ours: random entities and times, p95, ms"
WHOLE: Final = "before: the oldest entities folded whole, p95, ms"
KEPT: Final = Snapshots(b"k" * 32)
SIZES: Final = """
    SELECT count(*), pg_total_relation_size('owl_private.snapshots') / 1e6,
        pg_total_relation_size('owl_log.events') / 1e6
    FROM owl_private.snapshots
"""

Connection: TypeAlias = psycopg.AsyncConnection[Any]


class Ageing:
    """Writes the events of the old entities between those of the others."""

    def __init__(self) -> None:
        self._facts: Iterator[tuple[UUID, Fact]] = ageing()
        self._versions: Counter[UUID] = Counter()
        self.events_each = 0

    def write(self, connection: psycopg.Connection[Any], position: int, at_us: int) -> int:
        """As ``Between``."""
        insert(connection, list(self._next(position, at_us)))
        return self.events_each

    def _next(self, position: int, at_us: int) -> Iterator[StoredEvent]:
        for stream, fact in islice(self._facts, self.events_each):
            position += 1
            self._versions[stream] += 1
            yield StoredEvent(
                position=position,
                stream=stream.bytes,
                version=self._versions[stream],
                tag=tag_of(fact),
                recorded_at_us=at_us,
                actor=f"user:{ALICE}",
                correlation=f"request-{position // 5}",
                causation=None,
                command_id=UUID(int=(3 << 100) + position).bytes,
                state=encode(fact),
            )


class History:
    """A long log with old entities, and what was kept of them."""

    def __init__(self, url: str, events: int) -> None:
        self._url = url
        self._dice = random.Random(13)
        self._lives = -(-events // EVENTS_OF_A_LIFE)
        together = -(-self._lives // BATCHES)
        old = Ageing()
        old.events_each = round(together * EVENTS_OF_A_LIFE * OLD_SHARE)
        began = time.perf_counter()
        self._head = write_long_history(url, events, together=together, between=old.write)
        written_s, began = time.perf_counter() - began, time.perf_counter()
        asyncio.run(self._keep())
        kept_s = time.perf_counter() - began
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE owl_private.snapshots")
            rows, kept_mb, log_mb = connection.execute(SIZES).fetchall()[0]
            (last,) = connection.execute(
                "SELECT max(recorded_at) FROM owl_log.events"
            ).fetchall()[0]
        self._span_s = (last - NOON).total_seconds()
        print(
            f"{self._head:,} events, {log_mb:,.0f} MB, written in {written_s:.0f} s;"
            f" {rows:,} states, {kept_mb:,.1f} MB, kept in {kept_s:.0f} s",
            file=sys.stderr,
        )

    def random_p95_ms(self) -> float:
        """Of users and tasks from the whole history, and now and then of an old one."""
        return self._p95_ms(self._at_random, ASKED, KEPT)

    def old_p95_ms(self, asked: int = ASKED, kept: Snapshots | None = KEPT) -> float:
        """Of the old ones alone."""
        return self._p95_ms(self._of_old, asked, kept)

    def at_a_time_p95_ms(self) -> float:
        """As ``random_p95_ms``, where the position of a time is looked for first."""

        async def ask(connection: Connection) -> None:
            moment = NOON + timedelta(seconds=self._dice.random() * self._span_s)
            at = await position_at(connection, moment)
            await state(connection, self._at_random()[0], at, snapshots=KEPT)

        return self._timed(ask, ASKED)

    def _p95_ms(
        self, choose: Callable[[], tuple[Entity, int]], asked: int, kept: Snapshots | None
    ) -> float:
        async def ask(connection: Connection) -> None:
            entity, at = choose()
            assert await state(connection, entity, at, snapshots=kept), (entity, at)

        return self._timed(ask, asked)

    def _at_random(self) -> tuple[Entity, int]:
        """Somebody who was there by then."""
        if self._dice.random() < OLD_SHARE:
            return self._of_old()
        at = self._dice.randrange(self._head // 10, self._head + 1)
        # a twentieth less: how many lives were over by then, for certain
        lives = max(1, int(self._lives * at / self._head * 0.95) - 1)
        nth = self._dice.randrange(1, lives + 1)
        if self._dice.random() < 0.5:
            return Entity("user", member(nth, 0)), at
        return Entity("task", member(nth, self._dice.randrange(2, 102))), at

    def _of_old(self) -> tuple[Entity, int]:
        return self._dice.choice(OLD), self._dice.randrange(self._head // 10, self._head + 1)

    def _timed(self, ask: Callable[[Connection], Awaitable[None]], asked: int) -> float:
        async def run() -> list[float]:
            took = []
            async with await psycopg.AsyncConnection.connect(
                self._url, autocommit=True, options="-c timezone=UTC"
            ) as connection:
                for _ in range(asked):
                    began = time.perf_counter()
                    await ask(connection)
                    took.append((time.perf_counter() - began) * 1_000)
            return took

        return statistics.quantiles(asyncio.run(run()), n=20)[-1]

    async def _keep(self) -> None:
        async with await psycopg.AsyncConnection.connect(
            self._url, autocommit=True
        ) as connection:
            keeper = Keeper(self._url, KEPT)
            while await keeper.step(connection):
                pass


def main() -> None:
    """Run."""
    chosen = options(__doc__ or "", events=EVENTS)
    with ExitStack() as open_:
        stack = open_.enter_context(live_stack(profile="durable", with_nats=False))
        history = History(stack.create_database(), chosen.events)
        contestants: dict[str, Callable[[], float]] = {
            RATIO.ours: history.random_p95_ms,
            OF_OLD.ours: history.old_p95_ms,
            AT_A_TIME: history.at_a_time_p95_ms,
            WHOLE: lambda: history.old_p95_ms(ASKED_WHOLE, None),
            LIMIT: lambda: 50.0,
        }
        tell(measure(contestants, (RATIO, OF_OLD), chosen), chosen)


if __name__ == "__main__":
    main()
