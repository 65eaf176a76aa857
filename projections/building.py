"""Builds generations that nobody sees yet: one pass over the history for all of them.

History is folded in memory and written by chunks, each in one commit with the checkpoints of
what it was folded into; so whatever is killed goes on from the last chunk. Rows that are new
go in by ``COPY``; indexes are made behind the rows. The next chunk is folded while this one is
written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Final

import psycopg

from domain.facts import Fact
from domain.ports import EventHistory, Undecodable
from projections.chunks import Chunk, Gathering
from projections.folding import Applying, Event, Missing, Poisoned
from projections.jobs import Wish
from projections.pace import BuildingConfig, Pace, collect_young, in_a_hurry
from projections.projector import SESSION, Generation, Overtaken, load_wanted
from projections.wishes import obey

# What the server loses in a crash is folded again. It is on disk at the latest with the commit
# that shows the rows, or says that they are ready, which waits for everything before it.
BUILDING: Final = "SET statement_timeout = 0; SET synchronous_commit = off"


class Builder:
    """Fills generations, on a connection of its own.

    ``failed`` names those that an event stopped, and why; the others go on without them. So
    they do without those that an operator wants left.
    """

    def __init__(
        self,
        conninfo: str,
        history: EventHistory,
        generations: Sequence[Generation],
        config: BuildingConfig,
        *,
        tell: Callable[[int], None],
    ) -> None:
        self._conninfo = conninfo
        self._connection = psycopg.connect(conninfo, autocommit=True)
        self._connection.execute(SESSION)
        self._connection.execute(BUILDING)
        self._history = history
        self._config = config
        self._pace = Pace(config, history.head)
        self._tell = tell
        self._writer = ThreadPoolExecutor(1, "rebuild-writer")
        self._under_way: Future[Mapping[str, Wish]] | None = None
        self._wished: dict[str, Wish] = {}
        self._sound = list(generations)
        self._appliers: Mapping[type[Fact], Sequence[Applying]] = {}
        self.failed: dict[Generation, Exception] = {}
        self._gathered = {
            generation: Gathering(self._connection, generation) for generation in generations
        }
        for generation in generations:
            for table in generation.tables:
                table.folding.complete = generation.position == 0

    @property
    def sound(self) -> Sequence[Generation]:
        """Those that nothing stopped."""
        return self._sound

    def fill(self, upto: int) -> None:
        """Fold the history up to ``upto``; those that lag first, then all together.

        Raises:
            Overtaken: somebody else builds the same.
        """
        while behind := [each for each in self._sound if each.position < upto]:
            after = min(each.position for each in behind)
            together = [each for each in behind if each.position == after]
            ahead = [each.position for each in behind if each.position > after]
            with in_a_hurry():
                self._fill(together, after, min([upto, *ahead]))
            self._leave(together)

    def close(self) -> None:
        """Let what is under way end, then close the connection."""
        with suppress(Overtaken, psycopg.Error):
            self._join()
        self._writer.shutdown()
        self._connection.close()

    # ── one stretch of history ─────────────────────────────────────────────────────────────

    def _fill(self, together: list[Generation], after: int, upto: int) -> None:
        facts = {fact for each in together for fact in each.read_model.facts}
        self._appliers = _appliers(together)
        try:
            with closing(self._history.read(after, upto, facts)) as batches:
                for events in batches:
                    self._fold(together, events)
                    for generation in together:
                        self._gathered[generation].batch_ends()
                    self._pace.rest()
                    with self._pace.waiting():
                        self._tell(events[-1].position)
                    if self._pace.chunk_is_full(len(events)):
                        self._submit(together, events[-1].position)
                    if not together:
                        return
        except Undecodable as bad:
            self._submit(together, bad.position - 1)
            self._join()
            self._pass_over(together, bad)
            return
        self._submit(together, upto)
        self._join()

    def _pass_over(self, together: list[Generation], bad: Undecodable) -> None:
        for each in list(together):
            if each.read_model.is_about(bad.tag):
                self._fail(together, each, bad)
        self._submit(together, bad.position)
        self._join()

    def _fold(self, together: list[Generation], events: Sequence[Event]) -> None:
        index, nothing = 0, ()
        while index < len(events):
            get = self._appliers.get
            event = events[index]
            apply: Applying | None = None
            try:
                for event in events[index:] if index else events:
                    for apply in get(type(event.fact), nothing):
                        apply(event)
                return
            except Missing:
                index = _place(events, event)
                self._load(together, events[index:])
                rest = _from(get(type(event.fact), nothing), apply)
            except Exception as error:  # noqa: BLE001 - a fold's failure, whatever it is
                index = _place(events, event)
                rest = _from(get(type(event.fact), nothing), apply)[1:]
                self._poison(together, apply, event, error)
            self._finish(together, event, rest)
            index += 1

    def _finish(
        self, together: list[Generation], event: Event, rest: Sequence[Applying]
    ) -> None:
        """Apply what was not yet applied to an event at which folding was interrupted."""
        for apply in rest:
            if not any(apply in _all_of(each) for each in together):
                continue
            try:
                apply(event)
            except Missing:
                self._load(together, [event])
                apply(event)
            except Exception as error:  # noqa: BLE001 - a fold's failure, whatever it is
                self._poison(together, apply, event, error)

    def _poison(
        self,
        together: list[Generation],
        apply: Applying | None,
        event: Event,
        error: Exception,
    ) -> None:
        assert apply is not None, "nothing was applied"
        guilty = next(each for each in together if apply in _all_of(each))
        poison = Poisoned(event, 0, guilty.folding.fold_of(apply))
        poison.__cause__ = error
        self._fail(together, guilty, poison)

    def _fail(
        self, together: list[Generation], generation: Generation, error: Exception
    ) -> None:
        self.failed[generation] = error
        self._sound.remove(generation)
        together.remove(generation)
        self._appliers = _appliers(together)

    def _load(self, together: Sequence[Generation], events: Sequence[Event]) -> None:
        load_wanted(self._connection, together, events, ready=self._join)

    # ── chunks ─────────────────────────────────────────────────────────────────────────────

    def _submit(self, together: list[Generation], reached: int) -> None:
        """Hand what was folded to the writer, once the chunk before is committed."""
        self._join()
        self._leave(together)
        moved = {each: self._gathered[each] for each in together if each.position < reached}
        if not moved:
            return
        chunk = Chunk.of(moved, reached)
        for generation in moved:
            generation.position = reached
            generation.folding.settle(self._config.rows_kept)
        self._under_way = self._writer.submit(chunk.write, self._connection, self._pace.turns())
        collect_young()

    def _join(self) -> None:
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            with self._pace.waiting():
                self._wished |= under_way.result()

    def _leave(self, together: list[Generation]) -> None:
        """What operators want left, now that no chunk of it is under way."""
        left = [each for each in self._sound if each.read_model.name in self._wished]
        for each in left:
            obey(self._conninfo, each.read_model, self._wished[each.read_model.name])
            self._sound.remove(each)
            if each in together:
                together.remove(each)
        if left:
            self._appliers = _appliers(together)


def _appliers(together: Iterable[Generation]) -> dict[type[Fact], tuple[Applying, ...]]:
    merged: dict[type[Fact], tuple[Applying, ...]] = {}
    for generation in together:
        for fact, appliers in generation.folding.appliers.items():
            merged[fact] = (*merged.get(fact, ()), *appliers)
    return merged


def _all_of(generation: Generation) -> set[Applying]:
    return {apply for appliers in generation.folding.appliers.values() for apply in appliers}


def _place(events: Sequence[Event], event: Event) -> int:
    return next(n for n, each in enumerate(events) if each.position == event.position)


def _from(appliers: Sequence[Applying], apply: Applying | None) -> Sequence[Applying]:
    return appliers[appliers.index(apply) :] if apply is not None else appliers
