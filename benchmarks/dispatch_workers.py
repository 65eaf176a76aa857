"""The worker processes of ``benchmarks.dispatch``: ours and the peers', a no-op job each.

Each writes into a shared file when job ``n`` began, by the machine's monotonic clock. Run as
``python -m benchmarks.dispatch_workers KIND URL FILE [SERVER_ID]``.
"""

from __future__ import annotations

import asyncio
import mmap
import struct
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import nats
import procrastinate
import uvloop
from nats.aio.msg import Msg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job

from domain.fleet.messages import (
    AGENTS_STREAM,
    ENCODER,
    WORK_DECODER,
    Assigned,
    Began,
    Ended,
    Heartbeat,
    HostSample,
    Report,
    report_subject,
    work_consumer,
    work_subject,
)

CONCURRENCY: Final = 32
SLOTS: Final = 200_000
STAMP: Final = struct.Struct("d")
REPEAT_S: Final = 3.0


class Stamps:
    """When each job began; 0 while it has not."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(SLOTS * STAMP.size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    def begin(self, number: int) -> None:
        """Job ``number`` begins now."""
        STAMP.pack_into(self._memory, number * STAMP.size, time.monotonic())

    def began(self, number: int) -> float:
        """When it did."""
        return float(STAMP.unpack_from(self._memory, number * STAMP.size)[0])


async def run_procrastinate(url: str, stamps: Stamps) -> None:
    """Notified by LISTEN, polling beside it as shipped."""
    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(conninfo=url, min_size=4, max_size=16)
    )

    async def noop(number: int) -> None:
        stamps.begin(number)

    app.task(name="noop")(noop)
    async with app.open_async():
        await app.run_worker_async(concurrency=CONCURRENCY, install_signal_handlers=False)


async def run_pgqueuer(url: str, stamps: Stamps) -> None:
    """Dequeues up to as many jobs at once as it may run."""
    queue = PgQueuer(AsyncpgDriver(await asyncpg.connect(url)))

    async def noop(job: Job) -> None:
        assert job.payload is not None
        stamps.begin(int(job.payload))

    queue.entrypoint("noop")(noop)
    await queue.run(batch_size=CONCURRENCY, max_concurrent_tasks=CONCURRENCY * 2)


class Agent:
    """Speaks as an agent does: heartbeats, begins, ends; runs the no-op in its own process."""

    def __init__(self, client: Any, server_id: UUID, stamps: Stamps) -> None:
        self._client = client
        self._server_id = server_id
        self._stamps = stamps
        self._boot_id = uuid4()
        self._seen: set[tuple[UUID, int]] = set()

    async def run(self) -> None:
        """Hear work at once, and pull what was sent while away."""
        await self._client.subscribe(work_subject(self._server_id), cb=self._hear)
        await asyncio.gather(self._beat(), self._pull())

    async def _beat(self) -> None:
        sequence = 0
        while True:
            sequence += 1
            beat = Heartbeat(
                report_id=uuid4(),
                server_id=self._server_id,
                boot_id=self._boot_id,
                sequence=sequence,
                sent_at=_now(),
                agent_version="bench",
                hostname="bench",
                host=HostSample(),
            )
            await self._say(beat)
            await asyncio.sleep(1)

    async def _pull(self) -> None:
        consumer = work_consumer(self._server_id)
        pull = await self._client.jetstream().pull_subscribe_bind(consumer, AGENTS_STREAM)
        while True:
            try:
                messages = await pull.fetch(256, timeout=REPEAT_S)
            except (nats.errors.Error, nats.js.errors.Error, TimeoutError):
                await asyncio.sleep(0.05)
                continue
            for message in messages:
                await message.ack()
                await self._hear(message)

    async def _hear(self, message: Msg) -> None:
        work = WORK_DECODER.decode(message.data)
        if not isinstance(work, Assigned) or (work.task_id, work.attempt) in self._seen:
            return
        self._seen.add((work.task_id, work.attempt))
        self._stamps.begin(work.config["number"])
        about: dict[str, Any] = {
            "server_id": self._server_id,
            "task_id": work.task_id,
            "attempt": work.attempt,
            "sent_at": _now(),
        }
        await self._say(Began(report_id=uuid4(), **about))
        await self._say(Ended(report_id=uuid4(), outcome="completed", run_ms=0, **about))

    async def _say(self, report: Report) -> None:
        subject = report_subject(self._server_id, report)
        await self._client.publish(subject, ENCODER.encode(report))


async def run_agent(url: str, stamps: Stamps, server_id: UUID) -> None:
    """Connect and work."""
    await Agent(await nats.connect(url), server_id, stamps).run()


def _now() -> datetime:
    return datetime.now(UTC)


def main(kind: str, url: str, path: str, *more: str) -> None:
    """Run one worker until it is stopped."""
    stamps = Stamps(Path(path))
    match kind:
        case "procrastinate":
            uvloop.run(run_procrastinate(url, stamps))
        case "pgqueuer":
            uvloop.run(run_pgqueuer(url, stamps))
        case _:
            uvloop.run(run_agent(url, stamps, UUID(more[0])))


if __name__ == "__main__":
    main(*sys.argv[1:])
