"""The broker may lose everything, at any time: it costs seconds and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nats.js.errors import NotFoundError

from commands.loop import end
from commands.signals import COMMITTED, LocalSignal, NatsSignal
from domain.envelope import Fence
from domain.fleet.messages import EVENTS_STREAM, REPORTS_STREAM
from domain.tasks.events import TaskCompleted
from tests.commands.loops.plant import Plant, RunningWorker, connect, eventually, open_plant
from tests.commands.loops.scripted_agent import ScriptedAgent
from tests.stack import LiveStack, heard

pytestmark = pytest.mark.anyio


@pytest.fixture
def own_database(durable_stack: LiveStack) -> Iterator[str]:
    durable_stack.delete_streams()  # those of another log would be ahead of this one
    url = durable_stack.create_database()
    yield url
    durable_stack.drop_database(url)


@pytest.fixture
async def own_plant(
    durable_stack: LiveStack, own_database: str, tmp_path: Path
) -> AsyncIterator[Plant]:
    """A plant on servers of its own, which the test may hurt."""
    async with open_plant(own_database, durable_stack.nats_url, tmp_path) as opened:
        yield opened


async def published(plant: Plant) -> list[int]:
    """The log positions in the stream of events, in its order."""
    broker = plant.client.jetstream()
    state = (await broker.stream_info(EVENTS_STREAM)).state
    positions: list[int] = []
    if state.messages == 0:
        return positions
    for sequence in range(state.first_seq, state.last_seq + 1):
        message = await broker.get_msg(EVENTS_STREAM, sequence)
        positions.append(int((message.headers or {})["Owl-Position"]))
    return positions


async def _relayed(worker: RunningWorker, position: int) -> None:
    relay = worker.loop("relay")
    await eventually(lambda: relay.position >= position)


async def test_a_wiped_broker_forgets_no_waiting_task(
    own_plant: Plant, durable_stack: LiveStack
) -> None:
    plant = own_plant
    await plant.start_worker()
    agent = await ScriptedAgent(plant.client, await plant.server(), obedient=False).start()
    begun = await plant.submit()
    work = (await eventually(lambda: agent.assigned))[0]
    await agent.insist(agent.began(work))
    offered = await plant.submit()  # its offer is lost with the broker's store
    await eventually(lambda: len(agent.assigned) == 2)
    waiting = [await plant.submit() for _ in range(3)]  # no room for these yet
    await asyncio.to_thread(durable_stack.wipe_nats)
    agent.assigned.clear()
    agent.obedient = True
    await agent.insist(agent.ended(work))
    for task_id in (begun, offered, *waiting):
        await plant.phase(task_id, "completed")
    assert len(plant.facts(TaskCompleted)) == 5
    before = agent.confirmed_heartbeat
    await eventually(lambda: agent.confirmed_heartbeat > before)  # sequences go on
    await agent.stop()


async def test_tasks_submitted_while_the_broker_is_down_run_afterwards(
    own_plant: Plant, durable_stack: LiveStack
) -> None:
    plant = own_plant
    worker = await plant.start_worker()
    agent = await ScriptedAgent(plant.client, await plant.server()).start()
    await eventually(lambda: agent.confirmed_heartbeat)
    await asyncio.to_thread(durable_stack.kill_nats)
    task_id = await plant.submit()
    await asyncio.sleep(0.5)
    assert plant.task(task_id).phase == "pending"
    await asyncio.to_thread(durable_stack.start_nats)
    await plant.phase(task_id, "completed")
    assert worker.leads()
    await agent.stop()


async def test_a_relay_that_dies_after_publishing_repeats_and_skips_nothing(
    plant: Plant,
) -> None:
    for round_ in range(4):
        worker = await plant.start_worker()
        for _ in range(20):
            await plant.submit()
        if round_ % 2 == 0:
            await _relayed(worker, plant.log.feed().head())
        await worker.die()  # at some point, with an old checkpoint
    head = plant.log.feed().head()
    await _relayed(await plant.start_worker(), head)
    assert await published(plant) == list(range(1, head + 1))


async def test_two_relays_at_once_publish_every_event_once_in_order(plant: Plant) -> None:
    workers = [await plant.start_worker() for _ in range(2)]
    await eventually(lambda: any(worker.leads("relay") for worker in workers))
    relays = [worker.loop("relay") for worker in workers]
    rogues = [asyncio.create_task(relay.run(Fence("relay", 9))) for relay in relays]
    for _ in range(50):
        await plant.submit()
    head = plant.log.feed().head()
    await eventually(lambda: max(relay.position for relay in relays) == head)
    assert await published(plant) == list(range(1, head + 1))
    await end(rogues)


async def test_a_lost_stream_of_events_is_filled_again(plant: Plant) -> None:
    worker = await plant.start_worker()
    relay = worker.loop("relay")
    for _ in range(10):
        await plant.submit()
    head = plant.log.feed().head()
    await eventually(lambda: relay.position == head)
    await plant.client.jetstream().delete_stream(EVENTS_STREAM)
    await plant.submit()
    head = plant.log.feed().head()

    async def is_filled() -> bool:
        try:
            return await published(plant) == list(range(1, head + 1))
        except NotFoundError:
            return False

    async with asyncio.timeout(30):
        while not await is_filled():  # noqa: ASYNC110 - asks another process
            await asyncio.sleep(0.05)


async def test_an_older_copy_of_the_reports_makes_no_heartbeat_pass_for_old(
    plant: Plant,
) -> None:
    await plant.start_worker()
    agent = await ScriptedAgent(plant.client, await plant.server(), beat_every_s=0.05).start()
    await eventually(lambda: agent.confirmed_heartbeat > 10)
    tracked = plant.log.telemetry.tracked()
    broker = plant.client.jetstream()
    config = (await broker.stream_info(REPORTS_STREAM)).config
    config.first_seq = None  # as a stream that was restored, or made by hand
    await broker.delete_stream(REPORTS_STREAM)
    await broker.add_stream(config)
    before = agent.confirmed_heartbeat
    await eventually(lambda: agent.confirmed_heartbeat > before + 5)
    assert plant.log.telemetry.tracked() > tracked
    await agent.stop()


async def test_a_hint_lost_is_only_a_moment_lost(plant: Plant) -> None:
    worker = await plant.start_worker()
    agent = await ScriptedAgent(plant.client, await plant.server()).start()
    worker.reader._committed = LocalSignal()  # nobody notifies this one
    await plant.phase(await plant.submit(), "completed")
    await agent.stop()


async def test_another_client_can_be_told_by_hints(nats_url: str) -> None:
    here, there = await connect(nats_url), await connect(nats_url)
    signal, other = NatsSignal(here, COMMITTED), NatsSignal(there, COMMITTED)
    await other.open()
    try:
        await other.wait(0, 0.0)
        await heard(there)
        waiting = asyncio.create_task(other.wait(6, 30.0))
        signal.notify(7)
        assert await waiting == 7
    finally:
        await here.close()
        await there.close()


async def test_a_process_in_which_nobody_has_waited_is_sent_no_hints(nats_url: str) -> None:
    here, there = await connect(nats_url), await connect(nats_url)
    signal, other = NatsSignal(here, COMMITTED), NatsSignal(there, COMMITTED)
    try:
        await other.open()
        await heard(there)
        sent = there.stats["in_msgs"]
        signal.notify(7)
        await heard(here)
        await heard(there)
        assert there.stats["in_msgs"] == sent
    finally:
        await here.close()
        await there.close()


async def test_who_waits_before_the_broker_is_there_is_told_once_it_is(nats_url: str) -> None:
    here, there = await connect(nats_url), await connect(nats_url)
    signal, other = NatsSignal(here, COMMITTED), NatsSignal(there, COMMITTED)
    try:
        waiting = asyncio.create_task(other.wait(6, 30.0))
        await asyncio.sleep(0)
        await other.open()
        await heard(there)
        signal.notify(7)
        assert await waiting == 7
    finally:
        await here.close()
        await there.close()
