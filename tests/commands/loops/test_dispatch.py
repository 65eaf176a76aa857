"""A task's way through the loops: submitted, assigned, begun, ended, settled."""

from __future__ import annotations

import pytest

from domain.tasks.events import TaskAssigned, TaskStarted
from tests.commands.loops.plant import Plant
from tests.commands.loops.scripted_agent import ScriptedAgent

pytestmark = pytest.mark.anyio


async def test_a_submitted_task_is_run_to_its_end(plant: Plant) -> None:
    await plant.start_worker()
    server_id = await plant.server()
    agent = await ScriptedAgent(plant.client, server_id).start()
    task_id = await plant.submit()
    await plant.phase(task_id, "completed")
    assert len(plant.facts(TaskAssigned, task_id)) == 1
    assert len(plant.facts(TaskStarted, task_id)) == 1
    await agent.stop()
