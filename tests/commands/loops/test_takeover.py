"""Who leads: one worker at a time, the next one within seconds, and never two decisions."""

from __future__ import annotations

import asyncio
from collections import Counter

import psycopg
import pytest
from msgspec.structs import replace

from domain.tasks.events import TaskAssigned, TaskCompleted
from tests.commands.loops.plant import QUICK, Plant, eventually
from tests.commands.loops.scripted_agent import ScriptedAgent

pytestmark = pytest.mark.anyio

EXPIRE = "UPDATE owl_log.leases SET expires_at = clock_timestamp() - interval '1 s'"
LEFT_S = """
    SELECT extract(epoch FROM expires_at - clock_timestamp())
    FROM owl_log.leases WHERE name = 'dispatch'
"""
LONG = replace(QUICK, lease_ttl_s=60.0)  # longer than a test may take, or a machine stand still


async def test_a_standby_takes_over_when_the_leader_dies(plant: Plant) -> None:
    first = await plant.start_worker(supervision=LONG)
    await eventually(first.leads)
    second = await plant.start_worker(supervision=LONG)
    agent = await ScriptedAgent(plant.client, await plant.server()).start()
    await plant.phase(await plant.submit(), "completed")
    assert not second.leads()
    await first.die()
    with psycopg.connect(plant.log.conninfo, autocommit=True) as connection:
        (left_s,) = connection.execute(LEFT_S).fetchone() or (None,)
        assert 0 < left_s <= LONG.lease_ttl_s, "what nobody released runs out by itself"
        assert not second.leads()
        connection.execute(EXPIRE)
    await eventually(second.leads)
    await plant.phase(await plant.submit(), "completed")
    assert second.teams["dispatch"].status.epoch == 2
    await agent.stop()


async def test_a_leader_that_stops_hands_over_at_once(plant: Plant) -> None:
    first = await plant.start_worker(supervision=LONG)
    await eventually(first.leads)
    second = await plant.start_worker(supervision=LONG)
    await first.stop()
    await eventually(second.leads)


async def test_leaders_that_overtake_each_other_never_place_a_task_twice(plant: Plant) -> None:
    for _ in range(2):
        await plant.start_worker()
    agents = [
        await ScriptedAgent(plant.client, await plant.server(slots=3), gpus=2).start()
        for _ in range(2)
    ]
    tasks = [await plant.submit() for _ in range(60)]
    with psycopg.connect(plant.log.conninfo, autocommit=True) as connection:

        def is_done() -> bool:
            return len(plant.facts(TaskCompleted)) == len(tasks)

        for _ in range(12):
            connection.execute(EXPIRE)
            await asyncio.sleep(0.3)
        await eventually(is_done)
        # of whoever led last: by now they may both stand by
        epoch = "SELECT epoch > 1 FROM owl_log.leases WHERE name = 'dispatch'"
        assert connection.execute(epoch).fetchall() == [(True,)]
    assigned = Counter((fact.task_id, fact.attempt) for fact in plant.facts(TaskAssigned))
    assert set(assigned.values()) == {1}
    _assert_no_gpu_is_shared(plant)
    for agent in agents:
        await agent.stop()


def _assert_no_gpu_is_shared(plant: Plant) -> None:
    busy: dict[str, object] = {}
    for event in plant.story():
        match event.fact:
            case TaskAssigned(gpu_uuids=(gpu,), task_id=task_id, server_id=server_id):
                key = f"{server_id}/{gpu}"
                assert key not in busy
                busy[key] = task_id
            case TaskCompleted(task_id=task_id):
                busy = {key: task for key, task in busy.items() if task != task_id}
