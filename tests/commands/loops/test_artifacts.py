"""Files of tasks: in the store before the end is recorded, and only if they are as said."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from nats.js.errors import ObjectNotFoundError

from domain.fleet.messages import Assigned, artifact_bucket
from domain.tasks.events import Artifact, TaskCompleted, TaskFailed
from tests.commands.loops.plant import Plant, eventually
from tests.commands.loops.scripted_agent import ScriptedAgent

pytestmark = pytest.mark.anyio

CONTENT = b"\xff\xd8thumbnail" * 30_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def artifact(**changes: Any) -> Artifact:
    values: dict[str, Any] = {
        "name": "thumb.jpg",
        "size_bytes": len(CONTENT),
        "sha256": DIGEST,
        "media_type": "image/jpeg",
    }
    return Artifact(**(values | changes))


async def begun(plant: Plant) -> tuple[ScriptedAgent, Assigned]:
    await plant.start_worker()
    agent = await ScriptedAgent(plant.client, await plant.server(), obedient=False).start()
    await plant.submit()
    work: Assigned = (await eventually(lambda: agent.assigned))[0]
    await agent.insist(agent.began(work))
    return agent, work


async def leave(agent: ScriptedAgent, name: str, content: bytes) -> None:
    broker = agent.client.jetstream()
    await (await broker.object_store(artifact_bucket(agent.server_id))).put(name, content)


async def test_a_file_is_in_the_store_when_its_task_has_completed(plant: Plant) -> None:
    agent, work = await begun(plant)
    await leave(agent, DIGEST, CONTENT)
    await agent.insist(agent.ended(work, artifacts=(artifact(),)))
    (completed,) = plant.facts(TaskCompleted, work.task_id)
    assert completed.artifacts == (artifact(),)
    assert b"".join([piece async for piece in plant.store.get(DIGEST)]) == CONTENT
    bucket = await plant.client.jetstream().object_store(artifact_bucket(agent.server_id))
    with pytest.raises(ObjectNotFoundError):
        await bucket.get_info(DIGEST)
    await agent.stop()


async def test_a_task_does_not_complete_before_its_file_has_come(plant: Plant) -> None:
    agent, work = await begun(plant)
    ended = agent.ended(work, artifacts=(artifact(),))
    await agent.say(ended)
    await asyncio.sleep(0.7)
    assert plant.task(work.task_id).phase == "running"
    await leave(agent, DIGEST, CONTENT)
    await plant.phase(work.task_id, "completed")
    await agent.stop()


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ({}, CONTENT[:-1]),
        ({}, CONTENT + b"x"),
        ({}, b"x" * len(CONTENT)),
        ({"size_bytes": 10**9}, CONTENT),
        ({"sha256": "../../../etc/passwd"}, CONTENT),
        ({"sha256": DIGEST.upper()}, CONTENT),
    ],
    ids=["short", "long", "other", "huge", "path", "capitals"],
)
async def test_a_file_that_is_not_what_the_report_says_fails_the_task_for_free(
    plant: Plant, said: dict[str, Any], left: bytes
) -> None:
    agent, work = await begun(plant)
    claimed = artifact(**said)
    await leave(agent, claimed.sha256, left)
    await agent.insist(agent.ended(work, artifacts=(claimed,)))
    (failed,) = plant.facts(TaskFailed, work.task_id)
    assert failed.reason == "internal"
    assert failed.cost_fen == 0
    assert not await plant.store.has(DIGEST)
    await agent.stop()


async def test_two_tasks_may_leave_the_same_file(plant: Plant) -> None:
    agent, work = await begun(plant)
    await leave(agent, DIGEST, CONTENT)
    await agent.insist(agent.ended(work, artifacts=(artifact(), artifact(name="again.jpg"))))
    await plant.submit()
    second = (await eventually(lambda: [w for w in agent.assigned if w != work]))[0]
    await agent.insist(agent.began(second))
    await agent.insist(agent.ended(second, artifacts=(artifact(),)))  # kept already
    assert plant.task(second.task_id).phase == "completed"
    await agent.stop()
