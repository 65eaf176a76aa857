"""An agent that lives and does not end what it should: paid for until the timeout, no further.

Where it may still run, no other task is placed.
"""

from __future__ import annotations

import asyncio

import pytest

from domain.fleet.events import ServerWentOffline
from domain.tasks.events import TaskAssigned, TaskFailed
from domain.tasks.submission import TaskOrder
from domain.wallet.events import HoldSettled
from tests.commands.loops.plant import Plant, eventually
from tests.commands.loops.scripted_agent import ScriptedAgent

pytestmark = pytest.mark.anyio

SHORT = TaskOrder(
    title="分析",
    task_type="video_analysis",
    estimated_duration_min=1,
    config={"timeout_seconds": 1},
)


async def test_a_timeout_that_a_living_agent_ignores_is_ended_by_the_platform(
    plant: Plant,
) -> None:
    await plant.start_worker()
    await plant.configure(
        timeout_grace_s=1, prices_fen_per_minute={"video_analysis": 6_000, "test": 0}
    )
    server_id = await plant.server()
    deaf = await ScriptedAgent(plant.client, server_id, obedient=False, gpus=1).start()
    user_id = await plant.user(balance_fen=50_000)
    task_id = await plant.submit(user_id, SHORT)
    work = (await eventually(lambda: deaf.assigned))[0]
    deaf.running[task_id, 1] = work
    await deaf.insist(deaf.began(work))
    await plant.phase(task_id, "failed")
    (failed,) = plant.facts(TaskFailed, task_id)
    assert (failed.reason, failed.run_ms, failed.cost_fen) == ("timeout", 1_000, 100)
    assert plant.wallet(user_id).balance_fen == 50_000 - 100
    # it is told to stop, and its only GPU is not given to another while it says it runs there
    stop = await eventually(lambda: deaf.cancels)
    assert (stop[0].task_id, stop[0].attempt) == (task_id, 1)
    waiting = await plant.submit()
    await asyncio.sleep(0.5)
    assert plant.task(waiting).phase == "pending"
    deaf.running.clear()
    await eventually(lambda: plant.facts(TaskAssigned, waiting))
    # what it says in the end is refused and charges nothing
    await deaf.insist(deaf.ended(work, run_ms=60_000))
    assert len(plant.facts(HoldSettled)) == 1
    assert plant.facts(ServerWentOffline) == []
    await deaf.stop()


async def test_an_agent_whose_word_ends_an_attempt_has_its_place_back_at_once(
    plant: Plant,
) -> None:
    await plant.start_worker()
    agent = ScriptedAgent(
        plant.client, await plant.server(), obedient=False, gpus=1, beat_every_s=0.2
    )
    await agent.start()
    first = await plant.submit()
    work = (await eventually(lambda: agent.assigned))[0]
    agent.running[first, 1] = work  # its heartbeats go on to list it
    await agent.insist(agent.began(work))
    await agent.insist(agent.ended(work))
    second = await plant.submit()
    await eventually(lambda: plant.facts(TaskAssigned, second))
    await agent.stop()
