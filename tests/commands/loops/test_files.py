"""Tasks that name a file of the farm's own: only servers that have such files get them."""

from __future__ import annotations

import pytest

from domain.tasks.events import TaskAssigned
from domain.tasks.submission import TaskOrder
from tests.commands.loops.plant import Plant
from tests.commands.loops.scripted_agent import ScriptedAgent

pytestmark = pytest.mark.anyio

LOCAL = TaskOrder(
    title="分析", task_type="video_analysis", config={"video_url": "file:none.mp4"}
)


async def test_a_task_that_names_a_file_waits_for_a_server_that_serves_it(
    plant: Plant,
) -> None:
    await plant.start_worker()
    bare = await ScriptedAgent(plant.client, await plant.server()).start()
    task_id = await plant.submit(await plant.user(balance_fen=5_000), LOCAL)
    # one behind it is given out, so the scheduler has seen both
    await plant.phase(await plant.submit(), "completed")
    assert plant.task(task_id).phase == "pending"
    serving = ScriptedAgent(plant.client, await plant.server())
    serving.serves_files = True
    await serving.start()
    await plant.phase(task_id, "completed")
    (assigned,) = plant.facts(TaskAssigned, task_id)
    assert assigned.server_id == serving.server_id
    await bare.stop()
    await serving.stop()
