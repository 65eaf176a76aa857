"""The agent's warnings reach the platform: bounded, and without a secret in them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog

from domain.fleet.messages import REPORT_DECODER, Logged
from gpu_agent.agent import Agent, World
from gpu_agent.log_tail import Config, LogTail
from gpu_agent.logging_setup import set_up_logging
from gpu_agent.telemetry.simulated import SimulatedSampler
from tests.commands.loops.plant import now
from tests.gpu_agent.platform import Platform
from tests.gpu_agent.test_agent import identity_of, settings_in
from tests.stack import heard

pytestmark = pytest.mark.anyio

SERVER = UUID(int=1)
CANARY = "c4n4ry-p4ssw0rd"


@pytest.fixture
def tail() -> Iterator[LogTail]:
    tail = LogTail(Config(waiting_max=5, together_max=3))
    set_up_logging("json", tail)
    yield tail
    structlog.reset_defaults()


async def sent(tail: LogTail, *, connected: bool = True) -> Logged | None:
    """What one step of the tail publishes."""
    heard: list[bytes] = []

    async def publish(_subject: str, payload: bytes) -> bool:
        heard.append(payload)
        return connected

    await tail.step(publish, server_id=SERVER, clock=now, ids=uuid4)
    if not heard:
        return None
    report = REPORT_DECODER.decode(heard[0])
    assert isinstance(report, Logged)
    return report


async def test_warnings_and_worse_are_told_and_nothing_less(tail: LogTail) -> None:
    log = structlog.get_logger("x")
    log.debug("no")
    log.info("no")
    log.warning("spool_full", dropped="Output", n=7)
    try:
        int("x")
    except ValueError:
        log.exception("fetch_broke")
    told = await sent(tail)
    assert told is not None
    assert [(line.level, line.event) for line in told.lines] == [
        ("WARNING", "spool_full"),
        ("ERROR", "fetch_broke"),
    ]
    assert told.lines[0].fields == {"dropped": "Output", "n": "7"}
    assert "ValueError: invalid literal" in told.lines[1].fields["exception"]
    assert await sent(tail) is None


async def test_what_is_too_much_is_dropped_and_counted(tail: LogTail) -> None:
    for number in range(12):
        structlog.get_logger("x").warning(f"line {number}", long="x" * 100_000)
    assert await sent(tail, connected=False) is not None
    first, second = await sent(tail), await sent(tail)
    assert first is not None
    assert second is not None
    assert [line.event for line in (*first.lines, *second.lines)] == [
        f"line {number}" for number in range(5)
    ]
    assert (first.dropped, second.dropped) == (7, 0)
    assert len(first.lines[0].fields["long"]) < 2_100


async def test_no_secret_is_told(tail: LogTail) -> None:
    identity = identity_of(f"nats://owl:{CANARY}@127.0.0.1:4222", SERVER)
    token = identity.token(now().timestamp())
    world: Any = None
    settings: Any = type("Settings", (), {"nats_urls": identity.nats_urls})()
    Agent(identity, settings, world, version="test", tail=tail)
    enrolment = f"owl_{'0' * 32}_{'x' * 43}"
    signed = f"https://example.com/a.mp4?X-Signature={CANARY}&e=1"
    said = f"{identity.seed} {token} {enrolment} {signed} {identity.nats_urls[0]} {CANARY}"
    structlog.get_logger("x").error(said, **{"why": said, said: "name"})
    told = await sent(tail)
    assert told is not None
    text = repr(told)
    for secret in (identity.seed, token, enrolment, CANARY):
        assert secret not in text
    assert "https://example.com/a.mp4?[redacted]" in text, "where it went is told"


async def test_a_running_agent_tells_its_warnings(platform: Platform, tmp_path: Path) -> None:
    tail = LogTail(Config(every_s=0.05))
    set_up_logging("json", tail)
    lines: list[Logged] = []
    was_told = asyncio.Event()

    async def hear(message: Any) -> None:
        report = REPORT_DECODER.decode(message.data)
        assert isinstance(report, Logged)
        lines.append(report)
        was_told.set()

    await platform.client.subscribe(f"owl.reports.{platform.server_id}.log", cb=hear)
    await heard(platform.client)
    world = World(
        clock=now, monotonic=time.monotonic, ids=uuid4, gpus=SimulatedSampler(1, time.monotonic)
    )
    identity = identity_of(platform.url, platform.server_id)
    agent = Agent(identity, settings_in(tmp_path), world, version="test", tail=tail)
    life = asyncio.create_task(agent.run())
    try:
        structlog.get_logger("x").warning("disk_full", free_mib=3)
        await asyncio.wait_for(was_told.wait(), 30)
    finally:
        structlog.reset_defaults()
        agent.stop()
        agent.stop()
        await life
    assert lines[0].lines[0].event == "disk_full"
