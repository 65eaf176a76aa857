"""Row 10: heartbeats to committed events, over receiving and decoding them only.

Both take the same 20,000 heartbeats of 8 GPUs from the same JetStream stream, already there, by
the same pull. Limit: decode and drop. Ours: decode, check the sender, append to the telemetry
log with the stream's sequence in the same commit, judge whether anything changed, give each
server its receipt, acknowledge.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import nats
import structlog
import uvloop
from nats.aio.client import Client
from nats.js.api import ConsumerConfig

from benchmarks.append import context, fresh_id
from benchmarks.measure import Options, Ratio, measure, options, tell
from commands.board import Board
from commands.board_reader import BoardReader
from commands.checkpoints import Checkpoints
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from commands.fleet import NoteServerSeen, RegisterServer, note_server_seen, register_server
from commands.hearing import Hearing
from commands.ingest_telemetry import TelemetryIngest, telemetry_consumer
from commands.presence import Presence
from commands.pull import ACK, Pull
from commands.receipts import Receipts
from commands.signals import LocalSignal
from commands.topology import Topology
from commands.writer import Writer
from domain.envelope import Fence
from domain.fleet.messages import (
    ENCODER,
    REPORT_DECODER,
    REPORTS_STREAM,
    GpuSample,
    Heartbeat,
    HostSample,
    report_subject,
)
from tests.stack import LiveStack, live_stack

SERVERS = 200
HEARTBEATS = 20_000
GPUS = 8

RATIO = Ratio(
    row=10,
    name="heartbeats committed over received and decoded",
    ours="ours: committed events/s",
    other="limit: receive and decode, /s",
    target=0.5,
    moonshot=0.7,
)


class Farm:
    """A platform's log and broker, and servers that are online."""

    def __init__(self, log: EventLog, nats_url: str) -> None:
        self.log = log
        self.nats_url = nats_url
        self.boots: dict[UUID, UUID] = {fresh_id(): uuid4() for _ in range(SERVERS)}

    async def open(self) -> None:
        """Register every server and let it be seen once."""
        async with Writer(self.log, now) as writer:
            for server_id in self.boots:
                register = RegisterServer(
                    server_id=server_id,
                    name=str(server_id),
                    max_concurrent_tasks=8,
                    token_digest="digest",
                    token_expires_at=now() + timedelta(hours=1),
                )
                await writer.run(register_server, register, context())
                seen = NoteServerSeen(heartbeat=self.heartbeat(server_id, 1), at=now())
                await writer.run(note_server_seen, seen, context())

    def heartbeat(self, server_id: UUID, sequence: int) -> Heartbeat:
        """A heartbeat as an agent with eight GPUs sends it."""
        gpus = tuple(
            GpuSample(
                index=index,
                uuid=f"GPU-{server_id}-{index}",
                name="NVIDIA H200",
                usage_percent=87.5,
                memory_used_mib=71_000,
                memory_total_mib=143_771,
                temperature_c=64.0,
                power_w=512.3,
                power_limit_w=700.0,
            )
            for index in range(GPUS)
        )
        return Heartbeat(
            report_id=uuid4(),
            server_id=server_id,
            boot_id=self.boots[server_id],
            sequence=sequence,
            sent_at=now(),
            agent_version="1.0.0",
            hostname="gpu-server-01",
            host=HostSample(cpu_percent=21.5, cpu_count=64, memory_percent=40.1, load_1m=3.2),
            gpus=gpus,
        )

    async def fill(self, client: Client, broker_topology: Topology) -> int:
        """Put the heartbeats into the stream; the sequence of the last."""
        await broker_topology.ensure_streams()
        servers = list(self.boots)
        for number in range(HEARTBEATS):
            beat = self.heartbeat(servers[number % SERVERS], 2 + number // SERVERS)
            subject = report_subject(beat.server_id, beat)
            await client.publish(subject, ENCODER.encode(beat))
        await client.flush()
        while True:
            state = (await client.jetstream().stream_info(REPORTS_STREAM)).state
            if state.messages >= HEARTBEATS:
                return state.last_seq
            await asyncio.sleep(0.05)


async def prepared(
    farm: Farm, measure_one: Callable[[Client, int], Awaitable[float]]
) -> float:
    """Fill a fresh stream, then measure."""
    client = await nats.connect(farm.nats_url)
    broker = client.jetstream()
    for stream in await broker.streams_info():
        await broker.delete_stream(str(stream.config.name))
    topology = Topology(
        client,
        servers=list,
        first_report_sequence=lambda: farm.log.telemetry.tracked() + 1,
        interested=lambda: [_consumer()],
    )
    try:
        return await measure_one(client, await farm.fill(client, topology))
    finally:
        await client.close()


def _consumer() -> ConsumerConfig:
    return telemetry_consumer("telemetry-0-0", 1, 50_000)


async def receive(client: Client, _: int) -> float:
    """The limit."""
    taken = 0
    began = time.perf_counter()
    async with Pull(client, REPORTS_STREAM, "telemetry-0-0") as pull:
        while taken < HEARTBEATS:
            messages = await pull.take()
            for message in messages:
                REPORT_DECODER.decode(message.data)
            taken += len(messages)
            if messages:
                await client.publish(messages[-1].reply, ACK)
    return HEARTBEATS / (time.perf_counter() - began)


async def commit(farm: Farm, client: Client, last: int) -> float:
    """Ours."""
    async with AsyncExitStack() as stack:
        writer = await stack.enter_async_context(Writer(farm.log, now))
        reader = BoardReader(
            Board(), farm.log.feed(), LocalSignal(), Checkpoints(farm.log.conninfo)
        )
        while await reader.step():
            pass
        appended = LocalSignal()
        ingest = TelemetryIngest(
            client,
            farm.log.telemetry,
            reader,
            Hearing(),
            Presence(reader.board, writer, _nothing),
            Receipts(client, lambda: reader.board.configuration),
            clock=now,
            appended=appended,
        )
        first = farm.log.telemetry.feed().head()
        began = time.perf_counter()
        loop = asyncio.create_task(ingest.run(Fence("dispatch", 1)))
        position = first
        while position < first + HEARTBEATS:
            position = await appended.wait(position, 1.0)
        took = time.perf_counter() - began
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
    assert farm.log.telemetry.tracked() == last
    return HEARTBEATS / took


async def _nothing(*_: Any) -> None:
    return


def now() -> datetime:
    """The platform's clock."""
    return datetime.now(UTC)


def run(stack: LiveStack, chosen: Options) -> None:
    """Build a farm, race, say how it went."""
    secrets = Secrets(pepper=b"p" * 32, sealing_key=b"s" * 32)
    with EventLog.open(stack.create_database(), secrets=secrets, require_durable=True) as log:
        log.telemetry.ensure_partitions(now().date())
        farm = Farm(log, stack.nats_url)
        uvloop.run(farm.open())
        figures: dict[str, Callable[[], float]] = {
            RATIO.other: lambda: uvloop.run(prepared(farm, receive)),
            RATIO.ours: lambda: uvloop.run(prepared(farm, partial(commit, farm))),
        }
        tell(measure(figures, [RATIO], chosen), chosen)


def main() -> None:
    """Measure and tell."""
    chosen = options(__doc__ or "")
    quiet = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=quiet)
    with live_stack(profile="durable") as stack:
        run(stack, chosen)


if __name__ == "__main__":
    main()
