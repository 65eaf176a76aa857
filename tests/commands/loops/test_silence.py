"""Agents that vanish: requeued once, charged once, told to stop when they come back."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from domain.fleet.events import GpuFailed, GpuRecovered, ServerCameOnline, ServerWentOffline
from domain.tasks.events import TaskCancelled, TaskCancelRequested, TaskFailed, TaskRequeued
from domain.tasks.submission import TaskOrder
from domain.wallet.events import HoldExtended, HoldSettled
from tests.commands.loops.plant import Plant, eventually
from tests.commands.loops.scripted_agent import ScriptedAgent

pytestmark = pytest.mark.anyio

QUICK = {
    "heartbeat_interval_s": 1,
    "suspect_after_s": 2,
    "offline_after_s": 3,
    "lease_lost_after_s": 4,
}
VIDEO = TaskOrder(title="分析", task_type="video_analysis", estimated_duration_min=1)


async def test_a_silent_agents_task_is_requeued_once_and_charged_once(plant: Plant) -> None:
    await plant.start_worker()
    await plant.configure(**QUICK)
    gone = await ScriptedAgent(plant.client, await plant.server(), obedient=False).start()
    user_id = await plant.user(balance_fen=5_000)
    task_id = await plant.submit(user_id, VIDEO)
    work = (await eventually(lambda: gone.assigned))[0]
    await gone.insist(gone.began(work))
    await gone.stop()
    other = await ScriptedAgent(plant.client, await plant.server()).start()
    await plant.phase(task_id, "completed")
    assert [fact.reason for fact in plant.facts(TaskRequeued, task_id)] == ["agent_lost"]
    assert [fact.last_seen_at for fact in plant.facts(ServerWentOffline)] != []
    zombie = await ScriptedAgent(plant.client, gone.server_id, obedient=False).start()
    await zombie.insist(zombie.ended(work, run_ms=60_000))
    assert len(plant.facts(HoldSettled)) == 1
    assert plant.wallet(user_id).held_fen == 0
    await other.stop()
    await zombie.stop()


async def test_an_attempt_that_is_not_the_agents_any_more_is_told_to_stop(
    plant: Plant,
) -> None:
    await plant.start_worker()
    agent = ScriptedAgent(plant.client, await plant.server(), obedient=False)
    task_id = await plant.submit()
    await agent.start()
    work = (await eventually(lambda: agent.assigned))[0]
    agent.running[task_id, 7] = work
    stray = (await eventually(lambda: agent.cancels))[0]
    assert (stray.task_id, stray.attempt) == (task_id, 7)
    await agent.stop()


async def test_work_that_is_not_begun_is_offered_again_and_then_given_to_another(
    plant: Plant,
) -> None:
    await plant.start_worker()
    await plant.configure(start_deadline_s=4)
    idle = await ScriptedAgent(plant.client, await plant.server(), obedient=False).start()
    task_id = await plant.submit()
    await eventually(lambda: any(work.attempt == 2 for work in idle.assigned))
    offered = [work.attempt for work in idle.assigned]
    assert offered == sorted(offered)
    assert offered.count(1) >= 2
    requeued = plant.facts(TaskRequeued, task_id)  # more than once if the machine is slow
    assert not any(fact.counted for fact in requeued)
    await idle.stop()


async def test_a_cancellation_that_nobody_confirms_is_ended_by_the_platform(
    plant: Plant,
) -> None:
    await plant.start_worker()
    await plant.configure(cancel_deadline_s=1)
    agent = await ScriptedAgent(plant.client, await plant.server(), obedient=False).start()
    task_id = await plant.submit()
    work = (await eventually(lambda: agent.assigned))[0]
    await agent.insist(agent.began(work))
    await plant.cancel(task_id)
    await eventually(lambda: agent.cancels)
    await plant.phase(task_id, "cancelled")
    await agent.insist(agent.ended(work, outcome="cancelled"))
    assert len(plant.facts(TaskCancelled, task_id)) == 1
    await agent.stop()


async def test_a_gpu_that_fails_gets_no_work_until_it_is_well(plant: Plant) -> None:
    await plant.start_worker()
    agent = await ScriptedAgent(plant.client, await plant.server(), gpus=1).start()
    await eventually(lambda: plant.facts(ServerCameOnline))
    (well,) = agent.gpus
    agent.gpus = (type(well)(index=0, uuid=well.uuid, healthy=False, fault="Xid 79"),)
    await eventually(lambda: plant.facts(GpuFailed))
    task_id = await plant.submit()
    await asyncio.sleep(0.3)
    assert plant.task(task_id).phase == "pending"
    agent.gpus = (well,)
    await plant.phase(task_id, "completed")
    assert len(plant.facts(GpuRecovered)) == 1
    await agent.stop()


async def test_an_agent_that_stops_gets_no_more_work(plant: Plant) -> None:
    worker = await plant.start_worker()
    agent = await ScriptedAgent(plant.client, await plant.server()).start()
    await eventually(lambda: agent.confirmed_heartbeat)
    await agent.stop()
    await agent.say(agent.heartbeat(draining=True))
    hearing = worker.loop("scheduler")._hearing
    await eventually(lambda: agent.server_id in hearing.heard)
    await eventually(lambda: hearing.heard[agent.server_id].draining)
    task_id = await plant.submit()
    await asyncio.sleep(0.3)
    assert plant.task(task_id).phase == "pending"


async def test_a_hold_is_extended_before_it_runs_out_and_then_the_task_stops(
    plant: Plant,
) -> None:
    worker = await plant.start_worker()
    await plant.configure(hold_extension_min=1, prices_fen_per_minute={"video_analysis": 6_000})
    agent = await ScriptedAgent(plant.client, await plant.server(), obedient=False).start()
    user_id = await plant.user(balance_fen=6_100)  # a minute's hold, and one second more
    task_id = await plant.submit(user_id, VIDEO)
    work = (await eventually(lambda: agent.assigned))[0]
    await agent.insist(agent.began(work))
    metering = worker.loop("metering")
    attempts = worker.reader.board.attempts
    # the clock stands, so that a slow machine comes to no other moment of the run
    began_at = await eventually(lambda: attempts[task_id].began_at)
    mine = attempts[task_id]
    assert not metering._is_due(mine, began_at + timedelta(seconds=30))
    metering._clock = lambda: began_at + timedelta(seconds=50)
    await eventually(lambda: plant.facts(HoldExtended))
    assert plant.wallet(user_id).available_fen == 0
    # what is held lasts for some seconds yet
    assert plant.task(task_id).phase == "running"
    metering._clock = lambda: began_at + timedelta(seconds=70)
    await eventually(lambda: agent.cancels)
    assert [fact.reason for fact in plant.facts(TaskCancelRequested)] == ["balance_exhausted"]
    await agent.insist(agent.ended(work, outcome="cancelled"))
    assert [f.reason for f in plant.facts(TaskFailed, task_id)] == ["balance_exhausted"]
    await agent.stop()
