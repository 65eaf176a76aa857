"""Tells the platform every few seconds that the agent lives, and how its host fares."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from domain.fleet.messages import ENCODER, Heartbeat, Receipt, RunningTask, report_subject
from gpu_agent.broker import Broker
from gpu_agent.lease import Lease
from gpu_agent.telemetry.host import HostSampler
from gpu_agent.telemetry.readings import GpuSampler


class Who(Struct, frozen=True, kw_only=True):
    """This agent, in this life."""

    server_id: UUID
    boot_id: UUID
    agent_version: str


class Heartbeats:
    """Samples, sends, and remembers for the lease when it sent what."""

    def __init__(
        self,
        who: Who,
        *,
        broker: Broker,
        lease: Lease,
        gpus: GpuSampler,
        host: HostSampler,
        running: Callable[[], tuple[RunningTask, ...]],
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        ids: Callable[[], UUID],
        interval_s: float,
        serves_files: bool,
    ) -> None:
        self._who = who
        self._broker = broker
        self._lease = lease
        self._gpus = gpus
        self._host = host
        self._running = running
        self._clock = clock
        self._monotonic = monotonic
        self._ids = ids
        self._interval_s = interval_s
        self._serves_files = serves_files
        self._sequence = 0
        self._soon = asyncio.Event()
        self.draining = False
        """The agent is stopping and wants no new work."""
        self.leaving = False
        """It has stopped: every heartbeat from now on is a goodbye."""
        broker.when_connected(self.hurry)

    def hurry(self) -> None:
        """Send the next one now: something has changed."""
        self._soon.set()

    def hear(self, receipt: Receipt) -> None:
        """Renew the lease by what is committed of this life; keep to the platform's pace."""
        self._interval_s = receipt.heartbeat_interval_s
        if receipt.boot_id == self._who.boot_id and receipt.heartbeat_sequence is not None:
            self._lease.confirm(
                receipt.heartbeat_sequence, lease_s=float(receipt.lease_lost_after_s)
            )

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            await self._broker.connected.wait()
            self._soon.clear()
            await self.step()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._soon.wait()

    async def step(self) -> None:
        """Sample in a thread (a driver may take its time) and send one heartbeat."""
        report = await asyncio.to_thread(self._gpus.sample)
        host = await asyncio.to_thread(self._host.sample)
        self._sequence += 1
        heartbeat = Heartbeat(
            report_id=self._ids(),
            server_id=self._who.server_id,
            boot_id=self._who.boot_id,
            sequence=self._sequence,
            sent_at=self._clock(),
            agent_version=self._who.agent_version,
            hostname=socket.gethostname(),
            host=host,
            gpus=report.gpus,
            running=self._running(),
            draining=self.draining,
            leaving=self.leaving,
            simulated=report.simulated,
            serves_files=self._serves_files,
        )
        self._lease.sent(self._sequence, now=self._monotonic())
        subject = report_subject(self._who.server_id, heartbeat)
        await self._broker.publish(subject, ENCODER.encode(heartbeat))
