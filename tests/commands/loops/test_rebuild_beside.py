"""A rebuild has no side effects: nothing is published, sent or appended by it."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from commands.event_log.batch import APPEND_LOCK
from commands.event_log.telemetry import TELEMETRY_LOCK
from projections.catalogue import TELEMETRY
from projections.migrate import prepare
from projections.rebuild import Log, rebuild
from projections.runner import Runner
from projections.task_events import TASK_EVENTS
from projections.tasks import TASKS
from tests.commands.loops.plant import Plant, eventually
from tests.commands.loops.scripted_agent import ScriptedAgent

pytestmark = pytest.mark.anyio


async def sequences(plant: Plant) -> dict[str | None, int]:
    """The last sequence of each stream of the broker."""
    streams = await plant.client.jetstream().streams_info()
    return {info.config.name: info.state.last_seq for info in streams}


async def test_a_rebuild_publishes_nothing_and_appends_nothing(plant: Plant) -> None:
    worker = await plant.start_worker()
    agent = await ScriptedAgent(plant.client, await plant.server()).start()
    for _ in range(3):
        await plant.phase(await plant.submit(), "completed")
    log = plant.log
    relay = worker.loop("relay")
    await eventually(lambda: relay.position == log.feed().head())
    await agent.stop()

    def build() -> None:
        prepare(log.conninfo)
        doors = (
            ([TASKS, TASK_EVENTS], log.feed(), log.history(), APPEND_LOCK),
            (TELEMETRY, log.telemetry.feed(), log.telemetry.history(), TELEMETRY_LOCK),
        )
        for models, feed, history, lock in doors:
            with closing(Runner(feed, log.conninfo, models, projected=None)) as runner:
                while runner.step():
                    pass
            door = Log(feed=feed, history=history, append_lock=lock)
            for done in rebuild(log.conninfo, door, models, progress=lambda _: None):
                assert (done.compared, done.differing) == (True, ())

    await eventually(lambda: relay.position == log.feed().head())
    before, head = await sequences(plant), log.feed().head()
    assert before
    await asyncio.to_thread(build)
    assert (await sequences(plant), log.feed().head()) == (before, head)
