"""The live runner: follows a log and keeps every read model of it current.

Correct with any number of runners at once: the loser of a compare-and-set forgets what it
remembers and looks again. A poison event stops its read model, loudly, and no other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import psycopg
from msgspec import Struct

from domain.ports import EventFeed, Signal, Undecodable
from projections.fingerprint import fingerprints
from projections.folding import Event
from projections.projector import UNFIT, Generation, Overtaken, Projector, Unwritten
from projections.read_model import BATCH_EVENTS, ReadModel

OPEN: Final = """
    SELECT read_model, generation, state, position FROM owl_read.checkpoints
    WHERE state <> 'building' AND stopped_at IS NULL
        AND (read_model, fingerprint) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
    ORDER BY read_model, generation
"""
STANDING_STILL: Final = """
    SELECT position FROM owl_read.checkpoints WHERE state = 'live' AND stopped_at IS NULL
        AND read_model = ANY(%s::text[])
        AND (read_model, fingerprint) NOT IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""
logger = logging.getLogger(__name__)
STOPPED: Final = "read model %s (generation %d) has stopped at position %d: %s"


class RunnerConfig(Struct, frozen=True, kw_only=True):
    """``batch_events`` bounds what is folded at once, ``rows_kept`` what each table remembers.

    Between the two polls the pause doubles while nothing happens and no signal comes. The first
    leaves a server under load time to signal: that is some milliseconds after its commit.
    """

    batch_events: int = BATCH_EVENTS["business"]
    rows_kept: int = 20_000
    poll_first_s: float = 0.01
    poll_longest_s: float = 0.5
    look_every_s: float = 1.0
    """For generations that were switched, resumed or dropped meanwhile."""


class Runner:
    """Projects one log into its read models. ``step`` blocks; ``run`` is for an event loop."""

    def __init__(
        self,
        feed: EventFeed,
        conninfo: str,
        read_models: Sequence[ReadModel],
        *,
        projected: Signal | None,
        config: RunnerConfig | None = None,
    ) -> None:
        assert len({model.source for model in read_models}) == 1, "a runner follows one log"
        self._feed = feed
        self._conninfo = conninfo
        self._read_models = {model.name: model for model in read_models}
        self._fingerprints = fingerprints(read_models)
        self._projected = projected
        self._config = config or RunnerConfig(batch_events=BATCH_EVENTS[read_models[0].source])
        self._connection: psycopg.Connection[Any] | None = None
        self._projector: Projector | None = None
        self._generations: list[Generation] = []
        self._read_upto = 0
        self._reader = ThreadPoolExecutor(1, "projections-reader")
        self._ahead: tuple[int, Future[Sequence[Event]]] | None = None
        self._careful = False
        self._looked = 0.0
        self._standing_still: list[int] = []

    @property
    def position(self) -> int:
        """What every live read model that has not stopped has reached.

        While steps still say that there was something to do, the last of it may be under way.
        Who has seen more must not be shown one by other folds, which stands still.
        """
        live = [each.position for each in self._generations if each.state == "live"]
        return min([*live, *self._standing_still], default=0)

    async def run(self, wake: Signal) -> None:
        """Follow the log until cancelled. ``wake`` is a hint that it has grown.

        Raises:
            psycopg.OperationalError: Postgres is out of reach; run again later.
        """
        config, loop = self._config, asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, "projections")
        pause_s = config.poll_first_s
        try:
            while True:
                done = await loop.run_in_executor(thread, self.step)
                longer_s = min(2 * pause_s, config.poll_longest_s)
                pause_s = config.poll_first_s if done else longer_s
                if done < config.batch_events:  # behind a full batch there is more
                    await wake.wait(self._read_upto, pause_s)
        finally:
            # a cancelled step may still be at work: the connection is closed behind it
            thread.submit(self.close)
            thread.shutdown(wait=False)

    def step(self) -> int:
        """Project at most one batch into each read model; how many events went into any.

        When it says 0, everything is committed.
        """
        try:
            projector = self._opened()
            groups = self._groups()
            done = sum(
                self._advance(projector, group, upto, alone=len(groups) == 1)
                for group, upto in groups
            )
            if not done:
                projector.join()
                self._tell(self.position)
        except Overtaken:
            self._generations = []
            return 0
        except Unwritten:
            self._generations, self._careful = [], True
            return 1
        except psycopg.OperationalError:
            self.close()
            raise
        return done

    def close(self) -> None:
        """Let go of the connection and of all that is remembered."""
        projector, self._projector = self._projector, None
        self._connection, self._generations, self._ahead = None, [], None
        if projector is not None:
            projector.close()

    def _opened(self) -> Projector:
        if self._connection is None or self._projector is None:
            self._connection = psycopg.connect(self._conninfo, autocommit=True)
            self._projector = Projector(self._connection, rows_kept=self._config.rows_kept)
        if self._generations and time.monotonic() - self._looked > self._config.look_every_s:
            self._look_again(self._connection, self._projector)
        if not self._generations:
            self._open_generations(self._connection, self._projector)
        return self._projector

    def _look_again(self, connection: psycopg.Connection[Any], projector: Projector) -> None:
        projector.join()
        self._looked = time.monotonic()
        open_now = {(name, number, state) for name, number, state, _ in self._open(connection)}
        mine = {
            (each.read_model.name, each.generation, each.state) for each in self._generations
        }
        if open_now != mine:
            self._generations = []

    def _open(self, connection: psycopg.Connection[Any]) -> list[Any]:
        names, fingerprints = list(self._fingerprints), list(self._fingerprints.values())
        others = connection.execute(STANDING_STILL, (names, names, fingerprints)).fetchall()
        self._standing_still = [position for (position,) in others]
        return connection.execute(OPEN, (names, fingerprints)).fetchall()

    def _open_generations(
        self, connection: psycopg.Connection[Any], projector: Projector
    ) -> None:
        rows = self._open(connection)
        self._looked = time.monotonic()
        self._read_upto = head = self._feed.head()
        for name, number, state, position in rows:
            generation = Generation(self._read_models[name], number, state, position)
            self._generations.append(generation)
            if position > head:
                error = f"the log ends at {head}, before this position: is it an older copy?"
                self._stop(projector, generation, head + 1, error)

    def _groups(self) -> list[tuple[list[Generation], int | None]]:
        """Generations that stand together, the furthest first, and where the next ones are.

        One that lags reads up to the next position at most, and from there goes with it.
        """
        together: defaultdict[int, list[Generation]] = defaultdict(list)
        for generation in self._generations:
            together[generation.position].append(generation)
        positions = sorted(together, reverse=True)
        ahead: list[int | None] = [None, *positions]
        return [
            (together[position], below)
            for position, below in zip(positions, ahead, strict=False)
        ]

    def _advance(
        self,
        projector: Projector,
        generations: list[Generation],
        upto: int | None,
        *,
        alone: bool,
    ) -> int:
        after = generations[0].position
        limit = self._config.batch_events
        if upto is not None:
            limit = min(limit, upto - after)
        try:
            events = self._read(after, limit)
        except Undecodable as bad:
            self._pass_over(projector, generations, bad)
            return 1
        if not events:
            return 0
        self._read_upto = max(self._read_upto, events[-1].position)
        before = self.position
        # only behind a full batch is there more to fold while this one is written
        wait = self._careful or not alone or len(events) < self._config.batch_events
        if wait:
            projector.join()
        try:
            self._project(projector, generations, events, wait=wait)
        except UNFIT:
            for generation in generations:
                self._find_unfit(projector, generation, events)
        if wait:
            self._careful = False
        self._tell(self.position if wait else before)
        return len(events)

    def _pass_over(
        self, projector: Projector, generations: Sequence[Generation], bad: Undecodable
    ) -> None:
        """Stop those that are about an event which nobody can read; the others go past it."""
        projector.join()
        others = [each for each in generations if not each.read_model.is_about(bad.tag)]
        for generation in set(generations) - set(others):
            self._stop(projector, generation, bad.position, str(bad))
        if others:
            projector.go_past(others, bad.position)
        self._read_upto = max(self._read_upto, bad.position)
        self._tell(self.position)

    def _tell(self, position: int) -> None:
        if self._projected is not None:
            self._projected.notify(position)

    def _read(self, after: int, limit: int) -> Sequence[Event]:
        """The next events; behind a full batch the next one is fetched meanwhile."""
        ahead, self._ahead = self._ahead, None
        events: Sequence[Event] = ()
        if ahead is not None and ahead[0] == after:
            events = ahead[1].result()[:limit]
        if not events:
            events = self._feed.read(after, limit)
        if len(events) == self._config.batch_events:
            behind = events[-1].position
            self._ahead = (behind, self._reader.submit(self._feed.read, behind, limit))
        return events

    def _project(
        self,
        projector: Projector,
        generations: list[Generation],
        events: Sequence[Event],
        *,
        wait: bool,
    ) -> None:
        poisoned = projector.project(generations, events, wait=wait)
        for generation, poison in poisoned.items():
            error = f"{poison}: {poison.__cause__!r}"
            self._stop(projector, generation, poison.position, error)

    def _find_unfit(
        self, projector: Projector, generation: Generation, events: Sequence[Event]
    ) -> None:
        """Project alone, by halves, until the one event is found whose rows are not taken."""
        try:
            self._project(projector, [generation], events, wait=True)
        except UNFIT as error:
            if len(events) == 1:
                self._stop(projector, generation, events[0].position, str(error))
                return
            half = len(events) // 2
            for part in (events[:half], events[half:]):
                if generation in self._generations:
                    self._find_unfit(projector, generation, part)

    def _stop(self, projector: Projector, generation: Generation, at: int, error: str) -> None:
        self._generations.remove(generation)
        if projector.stop(generation, at, error):  # else a switch has dropped it meanwhile
            about = (generation.read_model.name, generation.generation, at, error)
            logger.critical(STOPPED, *about)
