"""Feeds what only this version's folds can, while a worker of another version leads.

Two versions run side by side during a deployment, or while a way back is kept open. The leader
feeds the generations that its own folds made; those of the other version would stand still,
and readers who wait for a position with them. A generation that nobody moves is taken on, for
as long as the same leader leads; a checkpoint's compare-and-set is fence enough. One that is
built and waits is taken on before: nobody has to wait once queries move to it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psycopg
import structlog

from commands.event_log.log import EventLog
from domain.envelope import Fence
from domain.ports import EventFeed
from projections.catalogue import READ_MODELS
from projections.feeders import announce
from projections.fingerprint import fingerprints
from projections.read_model import ReadModel, Source
from projections.runner import Runner

LOG = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 1.0
FEED_EVERY_S: Final = 0.1
LEADER: Final = """
    SELECT holder FROM owl_log.leases
    WHERE name = 'projections' AND holder <> %(holder)s AND expires_at > clock_timestamp()
"""
UNFED: Final = """
    SELECT DISTINCT read_model FROM owl_read.checkpoints AS mine
    JOIN unnest(%(names)s::text[], %(fingerprints)s::text[]) AS made (read_model, fingerprint)
        USING (read_model, fingerprint)
    WHERE stopped_at IS NULL AND source = %(source)s AND CASE state
        WHEN 'building' THEN EXISTS (
            SELECT FROM owl_read.rebuilds AS job
            WHERE (job.read_model, job.generation) = (mine.read_model, mine.generation)
                AND step IN ('ready', 'differs')
        )
        ELSE position < %(head)s AND updated_at < now() - interval '0.7 seconds'
    END
"""


class FeedingAside:
    """The loop; every worker runs it, and only one that stands by has anything to feed.

    All announce their folds: queries are switched to rows by no others.
    """

    name = "feeding aside"

    def __init__(
        self, log: EventLog, holder: str, read_models: Sequence[ReadModel] = READ_MODELS
    ) -> None:
        self._log = log
        self._holder = holder
        self._read_models = {model.name: model for model in read_models}
        self._prints = fingerprints(read_models)
        self._leader: str | None = None
        self._heads: dict[Source, int] = {}
        self._runners: dict[str, Runner] = {}
        self._looked = 0.0
        self._announced: psycopg.Connection[Any] | None = None

    async def run(self, _fence: Fence) -> None:
        """Feed until cancelled."""
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, "feeding-aside")
        try:
            while True:
                feeds = await loop.run_in_executor(thread, self.step)
                await asyncio.sleep(FEED_EVERY_S if feeds else LOOK_EVERY_S)
        finally:
            # a cancelled step may still be at work: it is closed behind it
            thread.submit(self.close)
            thread.shutdown(wait=False)

    def step(self) -> bool:
        """Bring all that is fed here to the head of its log; whether there is any."""
        if time.monotonic() - self._looked >= LOOK_EVERY_S:
            self._look()
            self._looked = time.monotonic()
        for runner in self._runners.values():
            while runner.step():
                pass
        return bool(self._runners)

    def close(self) -> None:
        """Feed nothing any more."""
        announced, self._announced = self._announced, None
        if announced is not None:
            announced.close()
        self._let_go()

    def _let_go(self) -> None:
        runners, self._runners = self._runners, {}
        for runner in runners.values():
            runner.close()

    def _look(self) -> None:
        connection = self._connected()
        row = connection.execute(LEADER, {"holder": self._holder}).fetchone()
        leader = None if row is None else str(row[0])
        if leader != self._leader:
            self._let_go()
            self._leader, self._heads = leader, {}
        if leader is None:
            return
        feeds: dict[Source, EventFeed] = {
            "business": self._log.feed(),
            "telemetry": self._log.telemetry.feed(),
        }
        for source, feed in feeds.items():
            about = {"names": list(self._prints), "fingerprints": [*self._prints.values()]}
            # an event of just now says nothing: whoever leads is about to fold it
            wanted = {**about, "source": source, "head": self._heads.get(source, 0)}
            self._heads[source] = feed.head()
            for (name,) in connection.execute(UNFED, wanted).fetchall():
                if name not in self._runners:
                    self._take_on(name, feed)

    def _connected(self) -> psycopg.Connection[Any]:
        if self._announced is None or self._announced.closed:
            self._announced = psycopg.connect(self._log.conninfo, autocommit=True)
            announce(self._announced, self._prints)
        return self._announced

    def _take_on(self, name: str, feed: EventFeed) -> None:
        LOG.warning("read_model.fed_aside", read_model=name, leader=self._leader)
        model, conninfo = self._read_models[name], self._log.conninfo
        self._runners[name] = Runner(feed, conninfo, [model], projected=None)
