"""Says what happened to the platform, again and again, until a receipt says it is committed.

Order is kept: what is posted first is published first. A report that got no receipt is repeated
with growing pauses under the same ``report_id``; the platform knows repeats by it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog
from msgspec import Struct

from domain.fleet.messages import ENCODER, Ended, Receipt, Report, report_subject
from gpu_agent.spool import Pending, Spool

Publish = Callable[[str, bytes], Awaitable[bool]]
"""Sends, or gives ``False`` while there is no connection."""

_LOG = structlog.get_logger(__name__)


class Config(Struct, frozen=True, kw_only=True):
    """When to repeat, and how much at once."""

    repeat_after_s: float = 2.0
    repeat_at_most_every_s: float = 30.0
    batch: int = 500
    step_s: float = 0.5


class _Sent(Struct):
    at: float
    times: int


class Outbox:
    """One agent's reports on their way out."""

    def __init__(
        self,
        *,
        server_id: UUID,
        spool: Spool,
        publish: Publish,
        monotonic: Callable[[], float],
        config: Config,
    ) -> None:
        self._server_id = server_id
        self._spool = spool
        self._publish = publish
        self._monotonic = monotonic
        self._config = config
        self._queue: deque[tuple[UUID | None, str, bytes]] = deque()
        self._posted = asyncio.Event()
        self._unsaved = asyncio.Event()
        self._empty = asyncio.Event()
        self._sent: dict[UUID, _Sent] = {}

    def post(self, report: Report, *, keep: bool) -> None:
        """Send now; with ``keep``, until its receipt comes."""
        subject = report_subject(self._server_id, report)
        payload = ENCODER.encode(report)
        report_id: UUID | None = None
        if keep:
            essential = isinstance(report, Ended)
            if not self._spool.add(report.report_id, subject, payload, essential=essential):
                _LOG.warning("spool_full", dropped=type(report).__name__)
                return
            report_id = report.report_id
            self._empty.clear()
            self._unsaved.set()
        self._queue.append((report_id, subject, payload))
        self._posted.set()

    def begin(self, task_id: UUID, attempt: int) -> None:
        """Write down that an attempt runs, for the next life of the agent."""
        self._spool.begin(task_id, attempt)
        self._unsaved.set()

    def end(self, task_id: UUID, attempt: int) -> None:
        """The attempt's end was posted."""
        self._spool.end(task_id, attempt)
        self._unsaved.set()

    def hear(self, receipt: Receipt) -> None:
        """Forget what is committed."""
        if self._spool.confirm(receipt.report_ids):
            self._unsaved.set()
        for report_id in receipt.report_ids:
            self._sent.pop(report_id, None)
        if not len(self._spool):
            self._empty.set()

    def repeat_all(self) -> None:
        """A new connection: what was said into the old one may be lost."""
        self._sent.clear()

    async def emptied(self) -> None:
        """Return once everything kept is confirmed."""
        if len(self._spool):
            await self._empty.wait()

    async def run(self) -> None:
        """Publish, repeat and write down, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish_posted())
            group.create_task(self._repeat())
            group.create_task(self._save())

    async def step(self) -> int:
        """Repeat what is due, oldest first; gives how many were."""
        now = self._monotonic()
        due = [pending for pending in self._spool.pending() if self._is_due(pending, now)]
        for pending in due[: self._config.batch]:
            await self._send(pending.report_id, pending.subject, pending.payload)
        return len(due)

    async def _publish_posted(self) -> None:
        while True:
            await self._posted.wait()
            self._posted.clear()
            while self._queue:
                await self._send(*self._queue.popleft())

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(self._config.step_s)
            await self.step()

    async def _save(self) -> None:
        """Write as soon as something is new; what comes meanwhile goes with the next write."""
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            changes = self._spool.take_changes()
            try:
                await asyncio.to_thread(self._spool.write, changes)
            except asyncio.CancelledError:
                # begun or not, nobody hears how it ends: closing the spool writes it anew
                self._spool.give_back(changes)
                raise
            except OSError as error:
                self._spool.give_back(changes)
                _LOG.error("spool_not_written", error=str(error))
                await asyncio.sleep(self._config.repeat_after_s)
                self._unsaved.set()

    async def _send(self, report_id: UUID | None, subject: str, payload: bytes) -> None:
        if await self._publish(subject, payload) and report_id is not None:
            known = self._sent.get(report_id)
            times = 1 if known is None else known.times + 1
            self._sent[report_id] = _Sent(self._monotonic(), times)

    def _is_due(self, pending: Pending, now: float) -> bool:
        sent = self._sent.get(pending.report_id)
        if sent is None:
            return True
        pause_s = self._config.repeat_after_s * float(2 ** min(sent.times - 1, 10))
        return now - sent.at >= min(pause_s, self._config.repeat_at_most_every_s)
