"""A rebuild's history folded by several processes, each for some of the read models.

Each reads the log by itself and leaves out what none of its own is about. The parent compares
and switches; a worker whose parent is gone ends at once, its chunk undone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from threading import Thread
from typing import Final

import psycopg
from msgspec import Struct

from api.keys import load_keys
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from domain.ports import EventHistory
from projections.catalogue import READ_MODELS
from projections.filling import Filling, fill_here
from projections.jobs import AT_WORK, read_jobs
from projections.pace import BuildingConfig
from projections.projector import Generation, Overtaken
from projections.status import live_sizes

LOOK_EVERY_S: Final = 0.25


class Part(Struct, frozen=True, kw_only=True):
    """What one worker does; ``generations`` are read model, generation, position."""

    database_url: str
    secrets_path: Path
    generations: tuple[tuple[str, int, int], ...]
    upto: int
    config: BuildingConfig


class ParallelFilling:
    """``projections.filling.Filling`` by ``workers`` processes, of which this is one.

    It takes the heaviest share, and at once: the others have yet to start. ``weights`` says
    what a read model costs, roughly; what is not there costs little.
    """

    def __init__(
        self,
        database_url: str,
        secrets_path: Path,
        workers: int,
        weights: Mapping[str, int],
    ) -> None:
        self._database_url = database_url
        self._secrets_path = secrets_path
        self._workers = workers
        self._weights = weights

    def __call__(
        self,
        conninfo: str,
        history: EventHistory,
        generations: Sequence[Generation],
        upto: int,
        config: BuildingConfig,
        tell: Callable[[int], None],
    ) -> dict[str, str]:
        """See ``Filling``."""
        own, *others = self._shares(generations)
        names = {each.read_model.name for each in generations}
        if not others:
            return fill_here(conninfo, history, own, upto, config, tell)
        context = get_context("spawn")
        with ProcessPoolExecutor(len(others), context, end_with_the_parent) as pool:
            running = {
                pool.submit(fill_part, self._part(share, upto, config)) for share in others
            }
            look_at = 0.0

            def look(_position: int) -> None:
                nonlocal look_at
                if time.monotonic() >= look_at:
                    for future in running:
                        if future.done():
                            future.result()  # it may have died, or been told to stop
                    tell(_slowest(conninfo, names, upto))
                    look_at = time.monotonic() + LOOK_EVERY_S

            try:
                failed = fill_here(conninfo, history, own, upto, config, look)
                while running:
                    done, running = wait(running, LOOK_EVERY_S, FIRST_COMPLETED)
                    for future in done:
                        failed |= future.result()
                    tell(_slowest(conninfo, names, upto))
            except BrokenProcessPool as error:
                raise Overtaken("a worker died") from error
        for each in generations:
            each.position = max(each.position, upto)
        return failed

    def _part(self, share: Sequence[Generation], upto: int, config: BuildingConfig) -> Part:
        return Part(
            database_url=self._database_url,
            secrets_path=self._secrets_path,
            generations=tuple(
                (each.read_model.name, each.generation, each.position) for each in share
            ),
            upto=upto,
            config=config,
        )

    def _shares(self, generations: Sequence[Generation]) -> list[list[Generation]]:
        """The heaviest first, always to who has least."""
        shares: list[list[Generation]] = [[] for _ in range(self._workers)]
        weights = [0] * self._workers
        for each in sorted(generations, key=self._weight, reverse=True):
            lightest = weights.index(min(weights))
            shares[lightest].append(each)
            weights[lightest] += self._weight(each)
        return [share for share in shares if share]

    def _weight(self, generation: Generation) -> int:
        return 1 + self._weights.get(generation.read_model.name, 0)


def fill_by(database_url: str, secrets_path: Path, workers: int) -> Filling:
    """By so many, the live tables' sizes being what each read model costs."""
    if workers == 1:
        return fill_here
    return ParallelFilling(database_url, secrets_path, workers, live_sizes(database_url))


def end_with_the_parent() -> None:
    """A worker that waits for its next part would not notice that nobody will give it one."""
    parent = parent_process()
    assert parent is not None, "only a child calls this"

    def watch() -> None:
        wait_for([parent.sentinel])
        os._exit(1)

    Thread(target=watch, name="parent-watch", daemon=True).start()


def fill_part(part: Part) -> dict[str, str]:
    """In a worker's process."""
    models = {model.name: model for model in READ_MODELS}
    generations = [
        Generation(models[name], number, "building", position)
        for name, number, position in part.generations
    ]
    keys = load_keys(part.secrets_path, make=False)
    secrets = Secrets(pepper=keys.pepper, sealing_key=keys.sealing)

    with EventLog.open(part.database_url, secrets=secrets, require_durable=False) as log:
        telemetry = generations[0].read_model.source == "telemetry"
        history = log.telemetry.history() if telemetry else log.history()
        url, upto, config = part.database_url, part.upto, part.config
        return fill_here(url, history, generations, upto, config, _not_told)


def _not_told(_position: int) -> None:
    """The parent reads the checkpoints."""


def _slowest(conninfo: str, names: set[str], upto: int) -> int:
    with psycopg.connect(conninfo) as connection:
        jobs = read_jobs(connection)
    at_work = [jobs[name] for name in names if name in jobs and jobs[name].step in AT_WORK]
    return min((job.position for job in at_work), default=upto)
