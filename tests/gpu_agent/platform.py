"""The platform's side of the wire, played by a test on a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID, uuid4

import nats
from nats.js.api import AckPolicy, ConsumerConfig

from commands.loop import end
from commands.topology import Topology
from domain.fleet.messages import (
    ENCODER,
    REPORT_DECODER,
    Assigned,
    CancelRequested,
    Ended,
    Heartbeat,
    Receipt,
    Report,
    WorkMessage,
    artifact_bucket,
    receipts_subject,
    work_subject,
)

R = TypeVar("R", bound=Report)
INTAKE = "intake"


class Platform:
    """Makes the streams, hears reports, gives receipts while ``confirming``."""

    def __init__(self, url: str, server_id: UUID) -> None:
        self.url = url
        self.server_id = server_id
        self.heard: list[Report] = []
        self.confirming = True
        self.lease_lost_after_s = 120
        self.heartbeat_interval_s = 1
        self._news = asyncio.Event()

    async def start(self) -> None:
        """Connect, and make what an agent expects to find."""
        self.client = await nats.connect(self.url, max_reconnect_attempts=-1, error_cb=_quiet)
        self.broker = self.client.jetstream()
        intake = ConsumerConfig(durable_name=INTAKE, ack_policy=AckPolicy.EXPLICIT)
        self.topology = Topology(
            self.client,
            servers=lambda: [self.server_id],
            first_report_sequence=lambda: 1,
            interested=lambda: [intake],
        )
        await self.topology.step()
        self._loop = asyncio.create_task(self._take_in())

    async def stop(self) -> None:
        """Leave."""
        await end([self._loop])
        await self.client.close()

    async def assign(self, task_type: str, *, attempt: int = 1, **config: Any) -> Assigned:
        """Publish an assignment of a new task."""
        assigned = Assigned(
            task_id=uuid4(),
            attempt=attempt,
            task_type=task_type,
            config=config,
            timeout_s=60,
            gpu_uuids=(),
            position=1,
        )
        await self.say(assigned)
        return assigned

    async def cancel(self, assigned: Assigned) -> None:
        """Ask for an attempt to stop."""
        await self.say(CancelRequested(task_id=assigned.task_id, attempt=assigned.attempt))

    async def say(self, message: WorkMessage) -> None:
        """Publish one word to the agent."""
        await self.broker.publish(work_subject(self.server_id), ENCODER.encode(message))

    def of(self, kind: type[R], assigned: Assigned | None = None) -> list[R]:
        """Reports of one kind, repeats included."""
        return [
            report
            for report in self.heard
            if isinstance(report, kind)
            and (assigned is None or getattr(report, "task_id", None) == assigned.task_id)
        ]

    async def until(self, met: Callable[[], Any], within_s: float = 30.0) -> None:
        """Return once what was heard meets a condition."""
        async with asyncio.timeout(within_s):
            while not met():
                self._news.clear()
                await self._news.wait()

    async def ended(self, assigned: Assigned) -> Ended:
        """How an attempt ended."""
        await self.until(lambda: self.of(Ended, assigned))
        return self.of(Ended, assigned)[0]

    async def file(self, sha256: str) -> bytes:
        """A delivered file."""
        store = await self.broker.object_store(artifact_bucket(self.server_id))
        content = (await store.get(sha256)).data
        assert content is not None
        return content

    async def _take_in(self) -> None:
        reports = await self.broker.pull_subscribe_bind(INTAKE, "OWL_REPORTS")
        while True:
            try:
                messages = await reports.fetch(100, timeout=0.5)
            except (TimeoutError, nats.errors.Error):
                continue
            for message in messages:
                report = REPORT_DECODER.decode(message.data)
                self.heard.append(report)
                if self.confirming:
                    await self._confirm(report)
                await message.ack()
            self._news.set()

    async def _confirm(self, report: Report) -> None:
        beat = report if isinstance(report, Heartbeat) else None
        receipt = Receipt(
            report_ids=(report.report_id,),
            boot_id=beat.boot_id if beat else None,
            heartbeat_sequence=beat.sequence if beat else None,
            heartbeat_interval_s=self.heartbeat_interval_s,
            lease_lost_after_s=self.lease_lost_after_s,
        )
        await self.client.publish(receipts_subject(self.server_id), ENCODER.encode(receipt))


async def _quiet(_: Exception) -> None:
    """The broker is stopped on purpose in some tests."""


@asynccontextmanager
async def platform_at(url: str, server_id: UUID) -> AsyncIterator[Platform]:
    """A platform that has started."""
    platform = Platform(url, server_id)
    await platform.start()
    try:
        yield platform
    finally:
        await platform.stop()
