"""Servers that stopped: offline at the agent's word, no work before they are heard again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from domain.fleet.events import ServerCameOnline, ServerWentOffline
from domain.telemetry.events import HeartbeatReceived
from gpu_agent.enrolment import Identity, new_seed
from tests.commands.loops.plant import Plant, eventually
from tests.commands.loops.scripted_agent import ScriptedAgent
from tests.commands.loops.test_real_agent import living
from tests.stack import LiveStack

pytestmark = pytest.mark.anyio


async def test_an_agent_that_says_goodbye_is_offline_at_once(plant: Plant) -> None:
    await plant.start_worker()
    agent = await ScriptedAgent(plant.client, await plant.server()).start()
    await eventually(lambda: plant.facts(ServerCameOnline))
    await agent.stop()
    await agent.say(agent.heartbeat(draining=True, leaving=True))
    (gone,) = await eventually(lambda: plant.facts(ServerWentOffline))
    assert gone.reason == "stopped", "and not half a minute of silence"


async def test_a_real_agent_that_is_stopped_says_goodbye(
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
    async with living(identity, tmp_path / "state"):
        await eventually(lambda: plant.facts(ServerCameOnline))
    (gone,) = await eventually(lambda: plant.facts(ServerWentOffline))
    assert gone.reason == "stopped"


async def test_after_a_restart_a_server_gets_work_only_once_it_is_heard(plant: Plant) -> None:
    before = await plant.start_worker()
    agent = await ScriptedAgent(plant.client, await plant.server()).start()
    await eventually(lambda: plant.facts(ServerCameOnline))
    await agent.stop()  # as by a power cut: without a word
    await before.stop()
    await agent.say(agent.heartbeat())  # it waits at the broker: nobody takes it in
    after = await plant.start_worker()
    await eventually(after.leads)
    await eventually(lambda: any(beat.late for beat in plant.heard(HeartbeatReceived)))
    task_id = await plant.submit()
    await asyncio.sleep(0.5)
    assert plant.task(task_id).phase == "pending", "the log says online; nobody was heard"
    agent = await ScriptedAgent(plant.client, agent.server_id).start()
    await plant.phase(task_id, "completed")
    assert not plant.heard(HeartbeatReceived)[-1].late
    await agent.stop()
