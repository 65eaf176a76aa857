"""Rebuilds by itself: what a deployment has outdated, and what was asked for over the API.

Edit a fold or its ``.sql``, deploy: the leading worker sees the new fingerprint and does what
``owl projections rebuild`` does. Queries see the old rows until the commit that shows the new.
What an operator has paused, cancelled or rolled back from is left alone.
"""

from __future__ import annotations

import asyncio
from typing import Final

import psycopg
import structlog

from api.rebuilding import Operating, Orders
from commands.event_log.log import EventLog
from domain.envelope import Actor, Fence
from domain.ports import CommandWriter, Ids
from projections.building import Stopped
from projections.catalogue import READ_MODELS
from projections.fingerprint import fingerprint
from projections.jobs import Job, read_jobs
from projections.migrate import prepare
from projections.progress import Progress
from projections.read_model import ReadModel
from projections.rebuild import RebuildFailed

LOG = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 5.0
MAX_LOAD: Final = 0.5
"""The share of the time in which an unattended rebuild works: other loops share its process."""
LEFT_ALONE: Final = frozenset({"paused", "cancelled", "failed", "differs", "ready"})
SHOWN_BEFORE: Final = """
    SELECT read_model FROM owl_read.checkpoints
    WHERE state = 'kept' AND (read_model, fingerprint) IN
        (SELECT * FROM unnest(%s::text[], %s::text[]))
"""


class Refreshing:
    """The loop; led by one worker."""

    name = "refreshing"

    def __init__(self, log: EventLog, writer: CommandWriter, ids: Ids) -> None:
        self._log = log
        self._operating = Operating(log, writer, ids, Actor("policy", self.name))

    async def run(self, _fence: Fence) -> None:
        """Look now and then until cancelled; a rebuild is fenced by a lock of its own."""
        while True:
            await self.step()
            await asyncio.sleep(LOOK_EVERY_S)

    async def step(self) -> tuple[str, ...]:
        """Rebuild what is outdated or asked for; returns what was tried."""
        tried = []
        for model, orders in await asyncio.to_thread(self._due):
            LOG.warning("read_model.rebuilding", read_model=model.name)
            tried.append(model.name)
            try:
                await self._operating.rebuild([model], orders, _not_shown)
            except RebuildFailed as failure:
                LOG.exception("read_model.not_rebuilt", read_model=model.name, why=str(failure))
            except Stopped as stopped:
                LOG.info("read_model.left", read_model=model.name, wish=stopped.wish)
            else:
                LOG.info("read_model.rebuilt", read_model=model.name)
        return tuple(tried)

    def _due(self) -> list[tuple[ReadModel, Orders]]:
        outdated = set(prepare(self._log.conninfo))
        prints = {model.name: fingerprint(model) for model in READ_MODELS}
        with psycopg.connect(self._log.conninfo) as connection:
            jobs = read_jobs(connection)
            rows = connection.execute(SHOWN_BEFORE, (list(prints), list(prints.values())))
            rolled_back = {name for (name,) in rows.fetchall()}
        due = []
        for model in READ_MODELS:
            job = jobs.get(model.name)
            if job is not None and job.step == "asked":
                due.append((model, Orders(switching=job.switching, max_load=job.max_load)))
            elif (
                model.name in outdated
                and model.name not in rolled_back
                and not _is_left_alone(job, prints[model.name])
            ):
                due.append((model, Orders(max_load=MAX_LOAD)))
        return due


def _is_left_alone(job: Job | None, current: str) -> bool:
    return job is not None and job.fingerprint == current and job.step in LEFT_ALONE


def _not_shown(_progress: Progress) -> None:
    """What is to be known of it stands in ``owl_read.rebuilds``."""
