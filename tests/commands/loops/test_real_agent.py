"""The platform's loops and the real agent, signed in with its own key, without an API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from domain.tasks.events import TaskCompleted, TaskProgressed
from domain.tasks.submission import TaskOrder
from domain.telemetry.events import TaskOutputReceived
from gpu_agent.agent import Agent, World
from gpu_agent.enrolment import Identity, new_seed
from gpu_agent.settings import Settings
from gpu_agent.telemetry.simulated import SimulatedSampler
from tests.commands.loops.plant import Plant, eventually
from tests.stack import LiveStack

pytestmark = pytest.mark.anyio

MEDIA = Path(__file__).parents[3] / "api" / "demo" / "media"


@asynccontextmanager
async def living(identity: Identity, state: Path) -> AsyncIterator[None]:
    """One life of an agent."""
    world = World(
        clock=lambda: datetime.now(UTC),
        monotonic=time.monotonic,
        ids=uuid4,
        gpus=SimulatedSampler(1, time.monotonic),
    )
    settings = Settings(
        state=state, media=(MEDIA,), heartbeat_s=0.5, grace_s=0.5, shutdown_s=1.0, sandbox=False
    )
    agent = Agent(identity, settings, world, version="test")
    life = asyncio.create_task(agent.run())
    try:
        yield
    finally:
        agent.stop()
        agent.stop()
        await life


async def test_a_real_agent_runs_a_real_video_to_the_artifact_store(
    plant: Plant, session_stack: LiveStack, tmp_path: Path
) -> None:
    plant.issuer_seed = session_stack.callout_seed
    await plant.start_worker()
    identity = Identity(
        server_id=uuid4(),
        name="real",
        seed=new_seed(bytes(range(32))),
        nats_urls=(session_stack.nats_address,),
    )
    await plant.server(public_key=identity.public_key, server_id=identity.server_id)
    clip = next(MEDIA.glob("*.mp4"))
    order = TaskOrder(
        title="分析",
        task_type="video_analysis",
        estimated_duration_min=1,
        config={"video_url": f"file:{clip.name}"},
    )
    user_id = await plant.user(balance_fen=5_000)
    async with living(identity, tmp_path / "state"):
        task_id = await plant.submit(user_id, order)
        await plant.phase(task_id, "completed", within_s=60)
        (completed,) = plant.facts(TaskCompleted, task_id)
        assert completed.artifacts
        for artifact in completed.artifacts:
            pieces = [piece async for piece in plant.store.get(artifact.sha256)]
            assert len(b"".join(pieces)) == artifact.size_bytes
        assert plant.facts(TaskProgressed, task_id)
        await eventually(lambda: plant.heard(TaskOutputReceived))
    assert plant.wallet(user_id).held_fen == 0
    assert plant.wallet(user_id).balance_fen == 5_000 - completed.cost_fen
