"""Row 10: heartbeats to committed events, over receiving and decoding them only.

Both take 20,000 heartbeats of 8 GPUs from a JetStream stream by the same pull, while another
process floods it from the same machine. Limit: decode and drop. Ours: decode, check the sender,
append to the telemetry log with the stream's sequence in the same commit, judge whether
anything changed, give each server its receipt, acknowledge.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import nats
import structlog
from nats.aio.client import Client

from api.programs.long_running import run_long
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
from tests.stack import LiveStack, heard, live_stack

SERVERS = 200
HEARTBEATS = 20_000
GPUS = 8
FIRST = "telemetry-0-0"
FLOOD = "flood"

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

    def payloads(self) -> list[tuple[str, bytes]]:
        """A heartbeat of each server, ready to be published again and again."""
        beats = [self.heartbeat(server_id, 2) for server_id in self.boots]
        return [(report_subject(beat.server_id, beat), ENCODER.encode(beat)) for beat in beats]


async def flood(url: str, packed: bytes) -> None:
    """Publish ``HEARTBEATS`` without waiting for anything; runs as a process of its own."""
    payloads = msgspec.msgpack.decode(packed, type=list[tuple[str, bytes]])
    client = await nats.connect(url)
    for number in range(HEARTBEATS):
        subject, payload = payloads[number % len(payloads)]
        await client.publish(subject, payload)
    await heard(client)
    await client.close()


async def prepared(
    farm: Farm, measure_one: Callable[[Client, Callable[[], None]], Awaitable[float]]
) -> float:
    """Make a fresh stream, then measure with the flood on."""
    client = await nats.connect(farm.nats_url)
    broker = client.jetstream()
    for stream in await broker.streams_info():
        await broker.delete_stream(str(stream.config.name))
    topology = Topology(
        client,
        servers=list,
        first_report_sequence=lambda: farm.log.telemetry.tracked() + 1,
        interested=lambda: [telemetry_consumer(FIRST, 1, 50_000)],
    )
    await topology.ensure_streams()
    with tempfile.NamedTemporaryFile() as file:
        file.write(msgspec.msgpack.encode(farm.payloads()))
        file.flush()
        command = [sys.executable, "-m", "benchmarks.heartbeats", FLOOD]
        flooding: list[subprocess.Popen[bytes]] = []

        def start() -> None:
            flooding.append(subprocess.Popen([*command, farm.nats_url, file.name]))

        try:
            return await measure_one(client, start)
        finally:
            for process in flooding:
                process.wait()
            await client.close()


async def receive(client: Client, start: Callable[[], None]) -> float:
    """The limit, from the first heartbeat to the last."""
    taken, began = 0, 0.0
    async with Pull(client, REPORTS_STREAM, FIRST) as pull:
        start()
        while taken < HEARTBEATS:
            messages = await pull.take()
            began = began or (time.perf_counter() if messages else 0.0)
            for message in messages:
                REPORT_DECODER.decode(message.data)
            taken += len(messages)
            if messages:
                await client.publish(messages[-1].reply, ACK)
    return HEARTBEATS / (time.perf_counter() - began)


async def commit(farm: Farm, client: Client, start: Callable[[], None]) -> float:
    """Ours, from the first commit to the last."""
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
        loop = asyncio.create_task(ingest.run(Fence("dispatch", 1)))
        start()
        position = await appended.wait(first, 30.0)
        early, began = position - first, time.perf_counter()
        while position < first + HEARTBEATS:
            position = await appended.wait(position, 1.0)
        took = time.perf_counter() - began
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
    return (HEARTBEATS - early) / took


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
        run_long(farm.open())
        figures: dict[str, Callable[[], float]] = {
            RATIO.other: lambda: run_long(prepared(farm, receive)),
            RATIO.ours: lambda: run_long(prepared(farm, partial(commit, farm))),
        }
        tell(measure(figures, [RATIO], chosen), chosen)


def main() -> None:
    """Measure and tell."""
    if sys.argv[1:2] == [FLOOD]:
        run_long(flood(sys.argv[2], Path(sys.argv[3]).read_bytes()))
        return
    chosen = options(__doc__ or "")
    quiet = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=quiet)
    with live_stack(profile="durable") as stack:
        run(stack, chosen)


if __name__ == "__main__":
    main()
