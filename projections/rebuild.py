"""Rebuilds read models beside the live ones: build, index, catch up, compare, switch.

Queries see the old rows until the one commit that shows the new ones, and the old generation
is kept for the way back. Whatever fails before that commit leaves the live one as it was, and
whatever is killed goes on where it was when it is asked for again.

Long because the steps of a rebuild and what ends each of them are one order, to be read as one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import psycopg
from msgspec import Struct
from msgspec.structs import replace

from domain.ports import EventFeed, EventHistory, Undecodable
from projections.against_live import LiveLags, against_live
from projections.approaching import approach, end_of_history, is_comparable
from projections.before_switch import held_before_switch
from projections.exclusive import BeingRebuilt, sole
from projections.filling import Filling, fill_here
from projections.fingerprint import fingerprint
from projections.folding import Poisoned
from projections.following import Follower
from projections.generations import Opened, discard, make_indexes, open_building
from projections.jobs import Step, StepNotes, Switching, note_begun
from projections.pace import BuildingConfig, Others
from projections.progress import Progress, Telling
from projections.projector import Generation, Overtaken
from projections.read_model import ReadModel
from projections.rebuilt import Hearing, Rebuilt
from projections.switching import Live, switch
from projections.verified import Verified, note_comparison
from projections.wishes import Leaving, Stopped


class NotRebuilt(Exception):
    """The live rows are as they were; says why, for each read model that failed.

    ``done`` are those of the same rebuild that were switched to all the same.
    """

    def __init__(self, reasons: dict[str, str], done: Sequence[Rebuilt] = ()) -> None:
        super().__init__("; ".join(f"{name}: {why}" for name, why in reasons.items()))
        self.reasons = reasons
        self.done = done


class Log(Struct, frozen=True, kw_only=True):
    """What a rebuild needs of a log.

    ``append_lock`` is the key of the advisory lock that every append to it takes.
    """

    feed: EventFeed
    history: EventHistory
    append_lock: tuple[int, int]


def rebuild(
    conninfo: str,
    log: Log,
    read_models: Sequence[ReadModel],
    *,
    progress: Callable[[Progress], None],
    hearing: Hearing | None = None,
    switching: Switching = "auto",
    switch_if_different: bool = False,
    config: BuildingConfig | None = None,
    filling: Filling = fill_here,
    workers: int = 1,
) -> tuple[Rebuilt, ...]:
    """Build the next generation of each of ``read_models``, in one pass; show them or not.

    ``switch_if_different`` takes the new rows though they are not those of the live
    generation; without it a difference is a finding, the live rows stay and the others are
    kept to be looked at. Rows by other folds are switched to and contrasted then. ``workers``
    is told of ``filling``, for whoever asks how it is done.

    Raises:
        NotRebuilt: one at least was not built, or differs; the others were done.
        Stopped: an operator has paused or cancelled some; the others were done.
    """
    hearing = hearing or Hearing()
    config = config or BuildingConfig()
    job = _Rebuild(conninfo, log, config, progress, switching, hearing, workers)
    try:
        with sole(conninfo, read_models) as lives:
            job.leaving = Leaving(conninfo, lives)
            opened = open_building(conninfo, read_models)
            upto = job.upto(read_models)
            job.begin(opened, upto)
            hearing.began(list(opened.values()), upto)
            failed = job.build(opened, upto, filling)
            return job.conclude_all(opened, lives, failed, force=switch_if_different)
    except BeingRebuilt as error:
        raise NotRebuilt({error.read_model: "it is being rebuilt already"}) from error
    except Overtaken as error:
        why = "interrupted, by a worker's end or another builder: ask again, it goes on"
        raise NotRebuilt({model.name: why for model in read_models}) from error
    finally:
        job.notes.close()


class _Rebuild:
    leaving: Leaving

    def __init__(
        self,
        conninfo: str,
        log: Log,
        config: BuildingConfig,
        progress: Callable[[Progress], None],
        switching: Switching,
        hearing: Hearing,
        workers: int,
    ) -> None:
        self._conninfo = conninfo
        self._log = log
        self._config = config
        self._switching = switching
        self._hearing = hearing
        self._workers = workers
        self._telling = Telling(progress)
        self._others = Others(config, log.feed.head)
        self.notes = StepNotes(conninfo)
        self._began = time.monotonic()

    def upto(self, read_models: Sequence[ReadModel]) -> int:
        """Where history ends now."""
        with psycopg.connect(self._conninfo) as connection:
            return end_of_history(connection, self._log.feed, read_models)

    def begin(self, opened: dict[str, Opened], upto: int) -> None:
        """Note that this process is at work."""
        with psycopg.connect(self._conninfo) as connection:
            for each in opened.values():
                note_begun(
                    connection,
                    each.generation,
                    upto=upto,
                    switching=self._switching,
                    max_load=self._config.max_load,
                    workers=self._workers,
                )
        self._telling.begin(opened, upto)

    def build(self, opened: dict[str, Opened], upto: int, filling: Filling) -> dict[str, str]:
        """Fill the tables and index them; why those that failed did."""
        generations = [each.generation for each in opened.values()]
        failed = self._approach(generations, upto, filling)
        sound = self._sound(opened, failed).values()
        bare = [each.generation for each in sound if not each.indexed]
        self._telling.step("indexing", upto)
        for generation in bare:
            self._note(generation.read_model, "indexing")
        if bare:
            make_indexes(self._conninfo, bare, self._others.leave_room)
            self.leaving.obey([each.read_model for each in bare])
        built = [each.generation for each in self._sound(opened, failed).values()]
        return failed | self._approach(built, None, filling)

    def conclude_all(
        self,
        opened: dict[str, Opened],
        lives: dict[str, Live],
        failed: dict[str, str],
        *,
        force: bool,
    ) -> tuple[Rebuilt, ...]:
        """One after the other; what fails with one does not keep the others."""
        done = []
        gone, built = self.leaving.left, self._sound(opened, failed)
        others = [
            each.generation
            for name, each in built.items()
            if lives[name].fingerprint != fingerprint(each.generation.read_model)
        ]
        contrasted: dict[str, Verified] = {}
        feed, config = self._log.feed, self._config
        many = {"batch_events": config.batch_events, "rows_kept": config.rows_kept}
        with (
            held_before_switch(self._conninfo, feed, others, config) as pairs,
            closing(Follower(self._conninfo, feed, **many)) as follower,
            psycopg.connect(self._conninfo, autocommit=True) as showing,
        ):
            for name, each in built.items():
                self._note(each.generation.read_model, "comparing")  # no more wishes then
                if self.leaving.obey([each.generation.read_model]):
                    continue
                try:
                    way = follower, showing
                    done.append(self.conclude(each, lives[name], *way, force=force))
                except (Poisoned, Undecodable) as error:
                    failed[name] = f"{error}: {error.__cause__!r}"
                    self.fail(each.generation.read_model, failed[name])
                except NotRebuilt as failure:
                    failed |= failure.reasons
                else:
                    self._hearing.concluded(done[-1])
            for pair in pairs:
                if {pair.name}.isdisjoint({*failed, *gone}) and (
                    found := pair.contrasted()
                ) is not None:
                    self._keep(found)
                    self._hearing.found(found)
                    contrasted[pair.name] = found
        if failed:
            raise NotRebuilt(failed, done)
        if gone:
            raise Stopped(gone, done)
        return tuple(replace(each, found=contrasted.get(each.read_model)) for each in done)

    def conclude(
        self,
        opened: Opened,
        live: Live,
        follower: Follower,
        showing: psycopg.Connection[Any],
        *,
        force: bool,
    ) -> Rebuilt:
        """Catch up, compare, and switch unless that is left to the operator."""
        generation = opened.generation
        model = generation.read_model
        comparable = is_comparable(live, model)
        self._telling.step("comparing", generation.position)
        found = self._compared(follower, generation) if comparable else None
        differing = () if found is None else tuple(found.differing)
        position = follower.follow_to_head(generation)
        switches = self._switching == "auto" and (force or not differing)
        if switches:
            self._telling.step("switching", position)
            self._note(model, "switching")
            position = switch(
                showing,
                model,
                generation.generation,
                append_lock=self._log.append_lock,
                catch_up=partial(follower.follow_to_head, generation),
            )
        else:
            self._note(model, "differs" if differing else "ready", ", ".join(differing))
        if differing and not switches:
            why = f"rows differ from the live ones in {', '.join(differing)}"
            raise NotRebuilt({model.name: why})
        self._telling.step("done", position)
        return Rebuilt(
            read_model=model.name,
            before_generation=live.generation,
            after_generation=generation.generation,
            at_position=position,
            checksum="" if found is None else found.checksum,
            compared=comparable,
            differing=differing,
            switched=switches,
            seconds=time.monotonic() - self._began,
        )

    def _sound(self, opened: dict[str, Opened], failed: Container[str]) -> dict[str, Opened]:
        bad = {*self.leaving.left, *(name for name in opened if name in failed)}
        return {name: each for name, each in opened.items() if name not in bad}

    def _approach(
        self, generations: Sequence[Generation], upto: int | None, filling: Filling
    ) -> dict[str, str]:
        config = self._config

        def told(position: int) -> None:
            self._telling.folded(position)
            self.leaving.look()

        def fill(left: Sequence[Generation], to: int) -> dict[str, str]:
            failed = filling(self._conninfo, self._log.history, left, to, config, told)
            return {**failed, **self.leaving.obey([each.read_model for each in left])}

        failed = approach(generations, upto, config.near_events, fill, self.upto)
        for name in self.leaving.left:
            failed.pop(name, None)
        for each in generations:
            if each.read_model.name in failed:
                self.fail(each.read_model, failed[each.read_model.name])
        return failed

    def fail(self, read_model: ReadModel, why: str) -> None:
        """An event cannot be folded: what was built is of no use."""
        discard(self._conninfo, read_model)
        self._note(read_model, "failed", why)

    def _compared(self, follower: Follower, generation: Generation) -> Verified:
        try:
            at_once = not self._others.leave_room()
            found = against_live(self._conninfo, follower, generation, at_once=at_once)
        except LiveLags as error:
            raise NotRebuilt({generation.read_model.name: str(error)}) from error
        self._keep(found)
        return found

    def _keep(self, found: Verified) -> None:
        with psycopg.connect(self._conninfo) as connection:
            note_comparison(connection, found)

    def _note(self, read_model: ReadModel, step: Step, error: str | None = None) -> None:
        self.notes.add(read_model.name, step, error or None)
