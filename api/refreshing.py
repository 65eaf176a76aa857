"""Rebuilds by itself: what a deployment has outdated, and what was asked for over the API.

Edit a fold or its ``.sql``, deploy: the leading worker sees the new fingerprint and does what
``owl projections rebuild`` does. Queries see the old rows until the commit that shows the new.
What an operator has paused, cancelled or rolled back from is left alone, and so is, while two
versions run, what the newer one has built.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import psycopg
import structlog
from psycopg.errors import LockNotAvailable

from api.ordering import Ordering, actor_of
from api.rebuild_orders import Orders
from api.rebuilding import Operating
from commands.event_log.log import EventLog
from commands.loop import end
from domain.envelope import Actor, Fence
from domain.ports import CommandWriter, Ids
from projections.beside import NothingBeside
from projections.catalogue import READ_MODELS
from projections.exclusive import BeingRebuilt
from projections.filling import Filling, fill_here
from projections.fingerprint import fingerprints
from projections.jobs import AT_WORK, Job, Switching, ask, read_jobs
from projections.migrate import prepare
from projections.orders import who_asked
from projections.progress import Progress
from projections.read_model import ReadModel
from projections.rebuild import NotRebuilt
from projections.versions import see, superseded
from projections.wishes import Stopped

LOG = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 2.0
ORDERS_EVERY_S: Final = 1.0
MAX_LOAD: Final = 0.5
"""The share of the time in which an unattended rebuild works, at most: other loops share its
process."""
LEFT_ALONE: Final = frozenset({"paused", "cancelled", "failed", "differs", "ready"})


class Due(NamedTuple):
    """What is to be rebuilt in one pass, how, and by whose order."""

    read_models: list[ReadModel]
    orders: Orders
    actor: Actor
    because: dict[str, int]
    """The position of each one's order; nothing for those that nobody ordered."""


class Refreshing:
    """The loop; led by one worker."""

    name = "refreshing"

    def __init__(
        self,
        log: EventLog,
        writer: CommandWriter,
        ids: Ids,
        read_models: Sequence[ReadModel] = READ_MODELS,
        *,
        filling: Callable[[int], Filling] = lambda _workers: fill_here,
    ) -> None:
        """``filling`` gives what fills with so many workers."""
        self._log = log
        self._writer = writer
        self._ids = ids
        self._read_models = read_models
        self._filling = filling
        self._ordering = Ordering(log, writer, ids, read_models)

    async def run(self, _fence: Fence) -> None:
        """Look now and then until cancelled; a rebuild is fenced by a lock of its own."""
        await asyncio.to_thread(prepare, self._log.conninfo, self._read_models)
        await self._ordering.begin()
        orders = asyncio.create_task(self._run_orders())
        try:
            while not orders.done():
                await self.step()
                await asyncio.wait([orders], timeout=LOOK_EVERY_S)
            orders.result()
        finally:
            await end([orders])

    async def _run_orders(self) -> None:
        """Beside a rebuild, which may have to be paused."""
        while True:
            await self._ordering.step()
            await asyncio.sleep(ORDERS_EVERY_S)

    async def step(self) -> tuple[str, ...]:
        """Rebuild what is outdated or asked for; returns what was tried."""
        tried: list[str] = []
        for model in await asyncio.to_thread(self._built):
            LOG.warning("read_model.switching", read_model=model.name)
            tried.append(model.name)
            operating = Operating(self._log, self._writer, self._ids, BY_ITSELF)
            with suppress(BeingRebuilt, NothingBeside, LockNotAvailable):  # next time, then
                await operating.switch(model, unfed=True)  # it is fed from here
        for due in await asyncio.to_thread(self._due):
            names = [model.name for model in due.read_models]
            LOG.warning("read_model.rebuilding", read_models=names)
            tried += names
            operating = Operating(
                self._log, self._writer, self._ids, due.actor, orders=due.because
            )
            try:
                await operating.rebuild(due.read_models, due.orders, _not_shown)
            except NotRebuilt as failure:
                LOG.exception("read_model.not_rebuilt", read_models=names, why=str(failure))
            except Stopped as stopped:
                LOG.info("read_model.left", read_models=names, wishes=stopped.wishes)
            else:
                LOG.info("read_model.rebuilt", read_models=names)
        return tuple(tried)

    def _built(self) -> list[ReadModel]:
        """What was built before this version was deployed: the live rows stand still now."""
        outdated = set(prepare(self._log.conninfo, self._read_models))
        prints = fingerprints(self._read_models)
        with psycopg.connect(self._log.conninfo) as connection:
            see(connection, prints)
            old = superseded(connection, prints)
            jobs = read_jobs(connection)
        return [
            model
            for model in self._read_models
            if model.name in outdated - old
            and (job := jobs.get(model.name)) is not None
            and (job.step, job.fingerprint) == ("ready", prints[model.name])
        ]

    def _due(self) -> list[Due]:
        outdated = set(prepare(self._log.conninfo, self._read_models))
        prints = fingerprints(self._read_models)
        asked: defaultdict[_Alike, dict[str, int]] = defaultdict(dict)
        outdated_here = []
        models = {model.name: model for model in self._read_models}
        with psycopg.connect(self._log.conninfo) as connection:
            see(connection, prints)
            old = superseded(connection, prints)
            jobs = read_jobs(connection)
            for model in self._read_models:
                job = jobs.get(model.name)
                if model.name in old:
                    continue  # rows by these folds are built again only where a person asks
                if job is not None and job.step in AT_WORK and not job.interrupted:
                    continue  # an operator's own process is at it
                if job is not None and _is_ordered(job, prints[model.name]):
                    ask(
                        connection,
                        model.name,
                        switching=job.switching,
                        max_load=job.max_load,
                        workers=job.workers,
                    )
                    who, position = who_asked(connection, model.name) or ("", 0)
                    alike = _Alike(who, job.switching, job.max_load, job.workers)
                    asked[alike][model.name] = position
                elif model.name in outdated and not _is_left_alone(job, prints[model.name]):
                    outdated_here.append(model)
        due = [
            Due([models[name] for name in names], self._orders(alike), *_asker(alike, names))
            for alike, names in asked.items()
        ]
        if outdated_here:
            orders = Orders(max_load=MAX_LOAD, by_itself=True)
            due.append(Due(outdated_here, orders, BY_ITSELF, {}))
        return due

    def _orders(self, alike: _Alike) -> Orders:
        return Orders(
            switching=alike.switching,
            max_load=alike.max_load,
            workers=alike.workers,
            filling=self._filling(alike.workers),
        )


BY_ITSELF: Final = Actor("policy", Refreshing.name)


class _Alike(NamedTuple):
    """Orders that are alike are obeyed in one pass."""

    asked_by: str
    switching: Switching
    max_load: float
    workers: int


def _asker(alike: _Alike, names: dict[str, int]) -> tuple[Actor, dict[str, int]]:
    return (actor_of(alike.asked_by), names) if alike.asked_by else (BY_ITSELF, {})


def _is_ordered(job: Job, current: str) -> bool:
    """Whether it waits for a worker, or its worker has died of it."""
    was_begun = job.ordered and job.interrupted and job.fingerprint == current
    return job.step == "asked" or was_begun


def _is_left_alone(job: Job | None, current: str) -> bool:
    return job is not None and job.fingerprint == current and job.step in LEFT_ALONE


def _not_shown(_progress: Progress) -> None:
    """What is to be known of it stands in ``owl_read.rebuilds``."""
