"""An agent that does what a test says: signs in, beats, takes work, reports."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from commands.loop import end
from domain.fleet.messages import (
    AGENTS_STREAM,
    ENCODER,
    RECEIPT_DECODER,
    WORK_DECODER,
    Advanced,
    Assigned,
    Began,
    CancelRequested,
    Ended,
    GpuSample,
    Heartbeat,
    HostSample,
    Output,
    OutputLine,
    Report,
    RunningTask,
    receipts_subject,
    report_subject,
    work_consumer,
)
from tests.commands.loops.plant import now

GPU = "GPU-11111111-2222-3333-4444-555555555555"
# what a broker that is slow or gone makes of a call; the client may give asyncio's own timeout
LOST = (NatsError, JetStreamError, TimeoutError)


class ScriptedAgent:
    """Runs nothing. ``obedient``: begins and completes what it gets at once."""

    def __init__(
        self,
        client: Client,
        server_id: UUID,
        *,
        obedient: bool = True,
        beat_every_s: float = 0.2,
        gpus: int = 0,
    ) -> None:
        self.client = client
        self.server_id = server_id
        self.boot_id = uuid4()
        self.obedient = obedient
        self.assigned: list[Assigned] = []
        self.cancels: list[CancelRequested] = []
        self.receipted: set[UUID] = set()
        self.confirmed_heartbeat = 0
        self.running: dict[tuple[UUID, int], Assigned] = {}
        self.gpus = tuple(
            GpuSample(index=n, uuid=f"{GPU}-{n}", memory_total_mib=24_000) for n in range(gpus)
        )
        self.serves_files = False
        self.sequence = 0
        self.seen: set[tuple[UUID, int]] = set()
        self._beat_every_s = beat_every_s
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> ScriptedAgent:
        await self.client.subscribe(receipts_subject(self.server_id), cb=self._hear_receipt)
        self._tasks = [asyncio.create_task(self._beat()), asyncio.create_task(self._work())]
        return self

    async def stop(self) -> None:
        """Fall silent."""
        await end(self._tasks)

    async def say(self, report: Report, **options: Any) -> None:
        subject = report_subject(self.server_id, report)
        broker = self.client.jetstream(timeout=1)
        headers = {"Nats-Msg-Id": str(report.report_id)}
        await broker.publish(subject, ENCODER.encode(report), headers=headers, **options)

    async def insist(self, report: Report) -> None:
        """Say it until it is receipted, as a spool does."""
        while report.report_id not in self.receipted and not self.client.is_closed:
            with suppress(*LOST):
                await self.say(report)
            for _ in range(50):
                if report.report_id in self.receipted:
                    return
                await asyncio.sleep(0.01)

    def heartbeat(self, **changes: Any) -> Heartbeat:
        self.sequence += 1
        values: dict[str, Any] = {
            "report_id": uuid4(),
            "server_id": self.server_id,
            "boot_id": self.boot_id,
            "sequence": self.sequence,
            "sent_at": now(),
            "agent_version": "0",
            "hostname": "host",
            "host": HostSample(),
            "gpus": self.gpus,
            "serves_files": self.serves_files,
            "running": tuple(
                RunningTask(task_id=task_id, attempt=attempt)
                for task_id, attempt in self.running
            ),
        }
        return Heartbeat(**(values | changes))

    def began(self, work: Assigned) -> Began:
        return Began(**self._about(work))

    def advanced(self, work: Assigned, progress: float) -> Advanced:
        return Advanced(**self._about(work), progress=progress)

    def output(self, work: Assigned, sequence: int, text: str) -> Output:
        line = OutputLine(at=now(), level="INFO", text=text)
        return Output(**self._about(work), sequence=sequence, lines=(line,))

    def ended(self, work: Assigned, **changes: Any) -> Ended:
        said: dict[str, Any] = {"outcome": "completed", "run_ms": 0, "result": {"ok": True}}
        return Ended(**self._about(work), **(said | changes))

    def _about(self, work: Assigned) -> dict[str, Any]:
        return {
            "report_id": uuid4(),
            "server_id": self.server_id,
            "task_id": work.task_id,
            "attempt": work.attempt,
            "sent_at": now(),
        }

    async def _beat(self) -> None:
        while not self.client.is_closed:
            with suppress(*LOST):
                await self.say(self.heartbeat())
            await asyncio.sleep(self._beat_every_s)

    async def _work(self) -> None:
        consumer = work_consumer(self.server_id)
        pull = await self.client.jetstream().pull_subscribe_bind(consumer, AGENTS_STREAM)
        while not self.client.is_closed:
            try:
                messages = await pull.fetch(16, timeout=0.5)
            except LOST:
                await asyncio.sleep(0.02)
                continue
            for message in messages:
                await message.ack()
                await self._take(message)

    async def _take(self, message: Msg) -> None:
        work = WORK_DECODER.decode(message.data)
        if isinstance(work, CancelRequested):
            self.cancels.append(work)
        elif isinstance(work, Assigned):
            self.assigned.append(work)
            key = (work.task_id, work.attempt)
            if self.obedient and key not in self.seen:
                self.seen.add(key)
                self._tasks.append(asyncio.create_task(self._run(work)))

    async def _run(self, work: Assigned) -> None:
        await self.insist(self.began(work))
        await self.insist(self.ended(work))

    async def _hear_receipt(self, message: Msg) -> None:
        receipt = RECEIPT_DECODER.decode(message.data)
        self.receipted.update(receipt.report_ids)
        if receipt.heartbeat_sequence is not None:
            self.confirmed_heartbeat = receipt.heartbeat_sequence
