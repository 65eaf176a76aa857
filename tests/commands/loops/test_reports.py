"""What agents send: repeated, reordered, late, forged or broken."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from commands.dispatching import LoseAttempt, lose_attempt
from commands.ingest_tasks import Config, again_after_s
from domain.envelope import Context
from domain.fleet.messages import ENCODER, Report, report_subject
from domain.ids import CONFIGURATION_STREAM, account_stream
from domain.ports import CommandWriter, Committed, OutOfReach, UnitOfWork
from domain.tasks.events import StaleReportRefused, TaskCompleted, TaskFailed, TaskStarted
from domain.tasks.submission import TaskOrder
from domain.telemetry.events import HeartbeatReceived, TaskOutputReceived
from domain.wallet.events import HoldSettled
from tests.commands.loops.plant import Plant, eventually, now
from tests.commands.loops.scripted_agent import ScriptedAgent

pytestmark = pytest.mark.anyio

VIDEO = TaskOrder(title="分析", task_type="video_analysis")


async def test_repeated_and_shuffled_reports_end_a_task_once_and_charge_once(
    plant: Plant,
) -> None:
    await plant.start_worker()
    agent = ScriptedAgent(plant.client, await plant.server(), obedient=False)
    await agent.start()
    user_id = await plant.user(balance_fen=5_000)
    task_id = await plant.submit(user_id, VIDEO)
    work = (await eventually(lambda: agent.assigned))[0]
    reports: list[Report] = [
        agent.began(work),
        agent.advanced(work, 50),
        agent.ended(work),
    ]
    # new report ids defeat the broker's own filter: these are different messages
    again: list[Report] = [replace(report, report_id=uuid4()) for report in reports * 5]
    every = reports + again
    random.Random(7).shuffle(every)
    await asyncio.gather(*(agent.insist(report) for report in every))
    assert plant.task(task_id).phase == "completed"
    assert len(plant.facts(TaskStarted, task_id)) == 1
    assert len(plant.facts(TaskCompleted, task_id)) == 1
    assert len(plant.facts(HoldSettled)) == 1
    assert plant.wallet(user_id).held_fen == 0
    await agent.stop()


async def test_what_an_overtaken_attempt_says_changes_nothing(plant: Plant) -> None:
    await plant.start_worker()
    agent = await ScriptedAgent(plant.client, await plant.server(), obedient=False).start()
    user_id = await plant.user(balance_fen=5_000)
    task_id = await plant.submit(user_id, VIDEO)
    first = (await eventually(lambda: agent.assigned))[0]
    await agent.insist(agent.began(first))
    lose = LoseAttempt(
        task_id=task_id,
        attempt=1,
        server_id=agent.server_id,
        reason="agent_lost",
        counted=True,
        at=now(),
    )
    await plant.run(lose_attempt, lose)
    second = await eventually(lambda: [w for w in agent.assigned if w.attempt == 2])
    await agent.insist(agent.ended(first))
    assert len(plant.facts(StaleReportRefused, task_id)) == 1
    assert plant.task(task_id).phase == "assigned"
    await agent.insist(agent.began(second[0]))
    await agent.insist(agent.ended(second[0]))
    assert plant.task(task_id).phase == "completed"
    assert len(plant.facts(HoldSettled)) == 1
    await agent.stop()


async def test_a_report_in_anothers_name_is_dropped_and_counted(plant: Plant) -> None:
    worker = await plant.start_worker()
    honest = await ScriptedAgent(plant.client, await plant.server(), obedient=False).start()
    liar = await ScriptedAgent(plant.client, await plant.server(), obedient=False).start()
    await plant.submit()
    both = await eventually(lambda: honest.assigned or liar.assigned)
    owner, other = (honest, liar) if both is honest.assigned else (liar, honest)
    claim = owner.ended(both[0])
    subject = report_subject(other.server_id, claim)
    await other.client.jetstream().publish(subject, ENCODER.encode(claim))
    ingest = worker.loop("ingest.tasks")
    await eventually(lambda: ingest.dropped.forged == 1)
    # in its own name it is not its attempt either
    await other.insist(replace(other.ended(both[0]), report_id=uuid4()))
    assert plant.task(both[0].task_id).phase == "assigned"
    await honest.stop()
    await liar.stop()


async def test_a_report_on_what_is_no_task_is_let_go_of_and_hurts_nobody(plant: Plant) -> None:
    worker = await plant.start_worker()
    agent = await ScriptedAgent(plant.client, await plant.server(), obedient=False).start()
    user_id = await plant.user(balance_fen=5_000)
    task_id = await plant.submit(user_id, VIDEO)
    work = (await eventually(lambda: agent.assigned))[0]
    others = (user_id, account_stream(user_id), agent.server_id, CONFIGURATION_STREAM, uuid4())
    for other in others:
        lie = replace(work, task_id=other)
        said: list[Report] = [agent.began(lie), agent.advanced(lie, 50), agent.ended(lie)]
        await asyncio.gather(*(agent.insist(report) for report in said))
    assert len(worker.loop("ingest.tasks")._defects) == 0
    await agent.insist(agent.began(work))
    await agent.insist(agent.ended(work))
    assert plant.task(task_id).phase == "completed"
    assert plant.wallet(user_id).held_fen == 0
    await agent.stop()


async def test_what_cannot_be_read_is_dropped_and_blocks_nobody(plant: Plant) -> None:
    worker = await plant.start_worker()
    server_id = await plant.server()
    agent = await ScriptedAgent(plant.client, server_id).start()
    await eventually(lambda: agent.confirmed_heartbeat)
    broker = plant.client.jetstream()
    for kind in ("heartbeat", "finished", "output"):
        for body in (b"", b"{", b"[]", b'{"type":"nothing"}', b"\xff\xfe", b"[" * 5_000):
            await broker.publish(f"owl.reports.{server_id}.{kind}", body)
    telemetry, tasks = worker.loop("ingest.telemetry"), worker.loop("ingest.tasks")
    await eventually(lambda: telemetry.dropped.malformed == 12)
    await eventually(lambda: tasks.dropped.malformed == 6)
    await plant.phase(await plant.submit(), "completed")
    await agent.stop()


class Defective:
    """The writer, with a defect: what ``fails`` accepts breaks in its handler."""

    def __init__(self, writer: CommandWriter, fails: Callable[[Any], bool]) -> None:
        self._writer = writer
        self._fails = fails
        self.broke = 0

    async def run(self, handler: Any, command: Any, context: Context) -> Committed:
        def defective(told: Any, work: UnitOfWork) -> Any:
            if self._fails(told):
                self.broke += 1
                raise LookupError(repr(told))
            return handler(told, work)

        return await self._writer.run(defective, command, context)


QUICKLY = Config(again_first_s=0.02, again_most_s=0.1, tries_max=4)


async def test_an_end_that_hits_a_defect_fails_the_task_for_free_after_some_tries(
    plant: Plant,
) -> None:
    worker = await plant.start_worker()
    ingest = worker.loop("ingest.tasks")
    ingest._config = QUICKLY
    ingest._writer = broken = Defective(
        ingest._writer, lambda told: getattr(told, "outcome", "") == "completed"
    )
    agent = await ScriptedAgent(plant.client, await plant.server(), obedient=False).start()
    user_id = await plant.user(balance_fen=5_000)
    task_id = await plant.submit(user_id, VIDEO)
    work = (await eventually(lambda: agent.assigned))[0]
    await agent.insist(agent.began(work))
    with capture_logs() as lines:
        await agent.insist(agent.ended(work, run_ms=60_000, result={"secret": "canary"}))
    (failed,) = plant.facts(TaskFailed, task_id)
    assert (failed.reason, failed.cost_fen) == ("internal", 0)
    assert plant.wallet(user_id).available_fen == 5_000
    assert broken.broke >= QUICKLY.tries_max  # in company, a command is decided once more
    assert ingest.dropped.given_up == 1
    told = [line for line in lines if line["event"] in {"report.failed", "report.given_up"}]
    assert [line["event"] for line in told] == ["report.failed"] * 3 + ["report.given_up"]
    assert {line["task_id"] for line in told} == {str(task_id)}
    assert "canary" not in str([{**line, "exc_info": ""} for line in told])
    await agent.stop()


async def test_a_report_that_cannot_be_recorded_at_all_is_given_up_and_blocks_nobody(
    plant: Plant,
) -> None:
    worker = await plant.start_worker()
    ingest = worker.loop("ingest.tasks")
    ingest._config = QUICKLY
    agent = await ScriptedAgent(plant.client, await plant.server(), obedient=False).start()
    task_id = await plant.submit()
    work = (await eventually(lambda: agent.assigned))[0]
    ingest._writer = broken = Defective(
        ingest._writer, lambda told: bool(told.task_id == task_id)
    )
    await asyncio.gather(agent.insist(agent.began(work)), agent.insist(agent.ended(work)))
    assert ingest.dropped.given_up == 2
    assert broken.broke > 2 * QUICKLY.tries_max  # the last is the end for free
    assert plant.task(task_id).phase == "assigned"
    healthy = await plant.submit()
    # the first is offered again and again: nobody has begun it
    other = (await eventually(lambda: [w for w in agent.assigned if w.task_id == healthy]))[0]
    await agent.insist(agent.ended(other))
    assert plant.task(healthy).phase == "completed"
    await agent.stop()


async def test_a_log_that_was_long_out_of_reach_does_not_count_as_tries(plant: Plant) -> None:
    worker = await plant.start_worker()
    ingest = worker.loop("ingest.tasks")
    ingest._config = replace(QUICKLY, later_most_s=0.02)
    healthy = ingest._writer
    tries = 0

    class Away:
        async def run(self, handler: Any, command: Any, context: Context) -> Committed:
            nonlocal tries
            tries += 1
            if tries <= 3 * QUICKLY.tries_max:
                raise OutOfReach("the log is away")
            if tries == 3 * QUICKLY.tries_max + 1:
                raise LookupError("once")
            committed: Committed = await healthy.run(handler, command, context)
            return committed

    agent = await ScriptedAgent(plant.client, await plant.server(), obedient=False).start()
    task_id = await plant.submit()
    work = (await eventually(lambda: agent.assigned))[0]
    ingest._writer = Away()
    await agent.insist(agent.ended(work))
    assert plant.task(task_id).phase == "completed"
    assert ingest.dropped.given_up == 0
    await agent.stop()


def test_a_report_is_tried_again_with_growing_pauses_up_to_a_bound() -> None:
    pauses_s = [again_after_s(tried, 0.5, 30) for tried in range(1, 10)]
    assert pauses_s == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert again_after_s(10**9, 0.5, 30) == 30
    assert sum(pauses_s[:-1]) < 120, "while the broker knows a repeated report"


async def test_an_unknown_server_is_not_heard(plant: Plant) -> None:
    worker = await plant.start_worker()
    stranger = ScriptedAgent(plant.client, uuid4())
    await eventually(worker.leads)
    await eventually(lambda: worker.loop("ingest.telemetry")._beginnings)
    await stranger.start()
    await eventually(lambda: worker.loop("ingest.telemetry").dropped.unknown_server)
    assert stranger.confirmed_heartbeat == 0
    await stranger.stop()


async def test_output_is_in_the_telemetry_log_once(plant: Plant) -> None:
    await plant.start_worker()
    agent = await ScriptedAgent(plant.client, await plant.server(), obedient=False).start()
    task_id = await plant.submit()
    work = (await eventually(lambda: agent.assigned))[0]
    chunks = [agent.output(work, n, f"行 {n}") for n in range(1, 6)]
    for chunk in chunks + chunks:
        agent.receipted.discard(chunk.report_id)
        await agent.insist(chunk)
    kept = plant.heard(TaskOutputReceived)
    assert [fact.sequence for fact in kept] == [1, 2, 3, 4, 5]
    assert {fact.task_id for fact in kept} == {task_id}
    await agent.stop()


async def test_heartbeats_are_kept_and_confirmed(plant: Plant) -> None:
    await plant.start_worker()
    agent = await ScriptedAgent(plant.client, await plant.server(), beat_every_s=0.01).start()
    await eventually(lambda: agent.confirmed_heartbeat >= 20)
    await agent.stop()
    sequences = [fact.sequence for fact in plant.heard(HeartbeatReceived)]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
