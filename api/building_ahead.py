"""Builds by a new version's folds while the old one still leads: a deployment without a gap.

Only the old version has the folds that feed the live rows. So the new one, started beside it,
builds and waits; when the old one goes and this one leads, ``api.refreshing`` switches at once.
Folds that were here before are built by an order only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import psycopg
import structlog

from api.rebuild_orders import Orders
from api.rebuilding import Operating
from api.refreshing import BY_ITSELF, LEFT_ALONE, MAX_LOAD
from commands.event_log.log import EventLog
from domain.envelope import Fence
from domain.ports import CommandWriter, Ids
from projections.catalogue import READ_MODELS
from projections.fingerprint import fingerprints
from projections.jobs import AT_WORK, read_jobs
from projections.progress import Progress
from projections.read_model import ReadModel
from projections.rebuild import NotRebuilt
from projections.wishes import Stopped

LOG = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 5.0
TEAMS: Final = ["projections", "housekeeping"]
"""Who leads the one feeds the live rows, who leads the other builds and switches."""
OTHERS_LEAD: Final = """
    SELECT count(*) FROM owl_log.leases
    WHERE name = ANY(%(teams)s) AND holder <> %(holder)s AND expires_at > clock_timestamp()
"""
UNSEEN: Final = """
    SELECT read_model FROM owl_read.checkpoints AS live
    JOIN unnest(%(names)s::text[], %(fingerprints)s::text[]) AS mine (name, print)
        ON name = read_model
    WHERE state = 'live' AND fingerprint <> print
        AND NOT EXISTS (SELECT FROM owl_read.versions AS seen
            WHERE (seen.read_model, seen.fingerprint) = (name, print))
"""


class BuildingAhead:
    """The loop; every worker runs it, and only one that stands by has anything to do."""

    name = "building ahead"

    def __init__(
        self,
        log: EventLog,
        writer: CommandWriter,
        ids: Ids,
        holder: str,
        read_models: Sequence[ReadModel] = READ_MODELS,
    ) -> None:
        self._log = log
        self._holder = holder
        self._operating = Operating(log, writer, ids, BY_ITSELF)
        self._read_models = read_models

    async def run(self, _fence: Fence) -> None:
        """Look now and then until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.step()

    async def step(self) -> tuple[str, ...]:
        """Build what this version folds in a new way, if another one leads; what was built."""
        models = await asyncio.to_thread(self._due)
        if not models:
            return ()
        names = tuple(model.name for model in models)
        LOG.warning("read_model.building_ahead", read_models=names)
        orders = Orders(switching="manual", max_load=MAX_LOAD, by_itself=True)
        try:
            await self._operating.rebuild(models, orders, _not_shown)
        except (NotRebuilt, Stopped) as why:
            LOG.warning("read_model.not_built_ahead", read_models=names, why=str(why))
            return ()
        LOG.warning("read_model.built_ahead", read_models=names, told="stop the old version")
        return names

    def _due(self) -> list[ReadModel]:
        prints = fingerprints(self._read_models)
        about = {"names": list(prints), "fingerprints": list(prints.values())}
        leading = {"teams": TEAMS, "holder": self._holder}
        with psycopg.connect(self._log.conninfo) as connection:
            row = connection.execute(OTHERS_LEAD, leading).fetchone()
            if row is None or row[0] < len(TEAMS):
                return []
            unseen = {name for (name,) in connection.execute(UNSEEN, about).fetchall()}
            jobs = read_jobs(connection)
        due = []
        for model in self._read_models:
            job = jobs.get(model.name)
            is_at_work = job is not None and job.step in AT_WORK and not job.interrupted
            is_mine = job is not None and job.fingerprint == prints[model.name]
            is_left = is_mine and job is not None and job.step in LEFT_ALONE
            if model.name in unseen and not is_at_work and not is_left:
                due.append(model)
        return due


def _not_shown(_progress: Progress) -> None:
    """What is to be known of it stands in ``owl_read.rebuilds``."""
