"""Rebuilds by itself: what a deployment has outdated, and what was asked for over the API.

Edit a fold or its ``.sql``, deploy: the leading worker sees the new fingerprint and does what
``owl projections rebuild`` does. Queries see the old rows until the commit that shows the new.
What an operator has paused, cancelled or rolled back from is left alone, and so is, while two
versions run, what the newer one has built.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import psycopg
import structlog
from psycopg.errors import LockNotAvailable

from api.ordering import Ordering, actor_of
from api.rebuilding import Operating, Orders
from commands.event_log.log import EventLog
from commands.loop import end
from domain.envelope import Actor, Fence
from domain.ports import CommandWriter, Ids
from projections.building import Stopped
from projections.catalogue import READ_MODELS
from projections.exclusive import BeingRebuilt
from projections.fingerprint import fingerprint
from projections.jobs import AT_WORK, Job, read_jobs
from projections.migrate import prepare
from projections.orders import who_asked
from projections.progress import Progress
from projections.read_model import ReadModel
from projections.rebuild import RebuildFailed
from projections.verifying import NothingBeside
from projections.versions import see, superseded

LOG = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 2.0
ORDERS_EVERY_S: Final = 1.0
MAX_LOAD: Final = 0.5
"""The share of the time in which an unattended rebuild works: other loops share its process."""
LEFT_ALONE: Final = frozenset({"paused", "cancelled", "failed", "differs", "ready"})


class Due(NamedTuple):
    """What is to be rebuilt in one pass, how, and by whose order."""

    read_models: list[ReadModel]
    orders: Orders
    actor: Actor
    because: int | None


class Refreshing:
    """The loop; led by one worker."""

    name = "refreshing"

    def __init__(
        self,
        log: EventLog,
        writer: CommandWriter,
        ids: Ids,
        read_models: Sequence[ReadModel] = READ_MODELS,
    ) -> None:
        self._log = log
        self._writer = writer
        self._ids = ids
        self._read_models = read_models
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
                await operating.switch(model)
        for due in await asyncio.to_thread(self._due):
            names = [model.name for model in due.read_models]
            LOG.warning("read_model.rebuilding", read_models=names)
            tried += names
            operating = Operating(
                self._log, self._writer, self._ids, due.actor, because=due.because
            )
            try:
                done = await operating.rebuild(due.read_models, due.orders, _not_shown)
            except RebuildFailed as failure:
                LOG.exception("read_model.not_rebuilt", read_models=names, why=str(failure))
            except Stopped as stopped:
                LOG.info("read_model.left", read_models=names, wish=stopped.wish)
            else:
                # other folds gave other rows on purpose; `owl projections diff` counts them
                not_compared = [each.read_model for each in done if not each.compared]
                LOG.info("read_model.rebuilt", read_models=names, not_compared=not_compared)
        return tuple(tried)

    def _built(self) -> list[ReadModel]:
        """What was built before this version was deployed: the live rows stand still now."""
        outdated = set(prepare(self._log.conninfo, self._read_models))
        prints = {model.name: fingerprint(model) for model in self._read_models}
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
        prints = {model.name: fingerprint(model) for model in self._read_models}
        due = []
        outdated_here = []
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
                if job is not None and job.step == "asked":
                    orders = Orders(switching=job.switching, max_load=job.max_load)
                    due.append(Due([model], orders, *_asker(connection, model.name)))
                elif model.name in outdated and not _is_left_alone(job, prints[model.name]):
                    outdated_here.append(model)
        if outdated_here:
            orders = Orders(max_load=MAX_LOAD, by_itself=True)
            due.append(Due(outdated_here, orders, BY_ITSELF, None))
        return due


BY_ITSELF: Final = Actor("policy", Refreshing.name)


def _asker(connection: psycopg.Connection[Any], read_model: str) -> tuple[Actor, int | None]:
    found = who_asked(connection, read_model)
    return (BY_ITSELF, None) if found is None else (actor_of(found[1]), found[0])


def _is_left_alone(job: Job | None, current: str) -> bool:
    return job is not None and job.fingerprint == current and job.step in LEFT_ALONE


def _not_shown(_progress: Progress) -> None:
    """What is to be known of it stands in ``owl_read.rebuilds``."""
