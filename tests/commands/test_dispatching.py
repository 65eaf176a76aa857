"""The platform's loops decide from old views; their commands apply or do nothing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from commands.dispatching import (
    AssignTask,
    EndOverdueCancel,
    EndOverrun,
    ExtendHold,
    LoseAttempt,
    end_overrun,
)
from commands.fleet import DrainServer, NoteServerSilent, drain_server, note_server_silent
from domain.fleet.events import GpuFailed
from domain.ids import CONFIGURATION_STREAM
from domain.tasks.events import TaskCancelled, TaskCancelRequested, TaskFailed
from domain.tasks.submission import TaskOrder
from domain.wallet.events import HoldExtended, HoldSettled
from domain.wallet.wallet import Wallet
from tests.commands.farm import FREE, Farm, running
from tests.domain.cast import (
    GPU,
    HOLD_FEN,
    LATER_BOOT,
    NOON,
    OTHER_SERVER,
    OTHER_TASK,
    SERVER_ID,
    TASK_ID,
    after,
    assigned,
    came_online,
)


def waiting() -> Farm:
    farm = Farm().with_server().with_balance(10_000)
    farm.submit()
    return farm


def test_a_waiting_attempt_is_assigned_once() -> None:
    farm = waiting()
    assert farm.assign(gpu_uuids=(GPU,), why={"candidates": 1})
    assert farm.last(1) == [assigned(gpu_uuids=(GPU,), why={"candidates": 1})]
    assert not farm.assign()
    assert len(farm.facts(TASK_ID)) == 2


@pytest.mark.parametrize(
    "wrong", [{"attempt": 2}, {"task_id": OTHER_TASK}, {"server_id": OTHER_SERVER}]
)
def test_what_does_not_wait_or_is_not_there_is_not_assigned(wrong: dict[str, Any]) -> None:
    farm = waiting()
    assert not farm.assign(**wrong)
    assert farm.task().phase == "pending"


def test_a_task_that_names_a_file_goes_only_where_files_are_served() -> None:
    farm = Farm().with_server()
    farm.submit(TaskOrder(title="x", task_type="test", config={"video_url": "file:a.mp4"}))
    assert not farm.assign()
    farm.given(SERVER_ID, came_online(boot_id=LATER_BOOT, serves_files=True))
    assert farm.assign()


def test_a_server_that_was_drained_meanwhile_gets_nothing() -> None:
    farm = waiting()
    farm.run(drain_server, DrainServer(server_id=SERVER_ID))
    assert not farm.assign()


def test_a_server_that_went_silent_meanwhile_gets_nothing() -> None:
    farm = waiting()
    farm.run(note_server_silent, NoteServerSilent(server_id=SERVER_ID, last_seen_at=NOON))
    assert not farm.assign()


def test_a_gpu_that_failed_meanwhile_gets_nothing() -> None:
    farm = waiting()
    farm.given(SERVER_ID, GpuFailed(server_id=SERVER_ID, gpu_uuid=GPU, detail="Xid 79"))
    assert not farm.assign(gpu_uuids=(GPU,))
    assert farm.assign()


def test_a_lost_attempt_waits_again_and_keeps_its_hold() -> None:
    farm = running()
    assert farm.lose(at=after(60))
    assert (farm.task().phase, farm.task().attempt, farm.task().lost) == ("pending", 2, 1)
    assert farm.wallet().held_fen == HOLD_FEN
    assert not farm.lose(at=after(61))


def test_a_task_lost_too_often_fails_and_costs_nothing() -> None:
    farm = running()
    for attempt in (1, 2, 3):
        farm.lose(attempt)
        farm.assign(attempt + 1)
    assert farm.lose(4)
    assert [type(fact) for fact in farm.last(2)] == [TaskFailed, HoldSettled]
    assert farm.wallet() == Wallet(available_fen=10_000)


@pytest.mark.parametrize(
    "wrong", [{"attempt": 2}, {"task_id": OTHER_TASK}, {"server_id": OTHER_SERVER}]
)
def test_what_is_not_the_current_attempt_is_not_lost(wrong: dict[str, Any]) -> None:
    farm = running()
    assert not farm.lose(**wrong)
    assert farm.task().phase == "running"


def test_an_attempt_that_began_after_all_is_not_lost_for_being_late() -> None:
    farm = waiting()
    farm.assign()
    farm.began()
    assert not farm.lose(reason="agent_refused", counted=False)
    assert farm.task().phase == "running"


def test_an_attempt_that_does_not_begin_in_time_costs_no_budget() -> None:
    farm = waiting()
    farm.assign()
    assert farm.lose(reason="agent_refused", counted=False)
    assert (farm.task().phase, farm.task().lost) == ("pending", 0)


def test_a_task_being_cancelled_whose_server_is_lost_is_cancelled_free() -> None:
    farm = running()
    farm.cancel(at=after(60))
    assert farm.lose(at=after(120))
    assert farm.task().phase == "cancelled"
    assert farm.wallet() == Wallet(available_fen=10_000)


def test_an_overdue_cancellation_ends_and_pays_until_the_wish() -> None:
    farm = running()
    farm.cancel(at=after(60))
    assert farm.end_overdue(after(90))
    assert [type(fact) for fact in farm.last(2)] == [TaskCancelled, HoldSettled]
    assert farm.wallet() == Wallet(available_fen=10_000 - 105)
    assert not farm.end_overdue(after(91))


def test_what_is_not_being_cancelled_is_not_overdue() -> None:
    farm = running()
    assert not farm.end_overdue(after(90))
    assert not farm.end_overdue(after(90), task_id=OTHER_TASK)
    farm.cancel()
    assert not farm.end_overdue(after(90), attempt=2)


def test_an_attempt_that_overran_ends_and_its_server_charges_nothing_more() -> None:
    farm = running()
    overrun = EndOverrun(task_id=TASK_ID, attempt=1, server_id=SERVER_ID, at=after(90_000))
    for wrong in ({"attempt": 2}, {"server_id": OTHER_SERVER}, {"task_id": OTHER_TASK}):
        assert not farm.run(end_overrun, replace(overrun, **wrong)).done
    assert farm.run(end_overrun, overrun).done
    failed, settled = farm.last(2)
    assert isinstance(failed, TaskFailed)
    assert (failed.reason, failed.run_ms, failed.cost_fen) == ("timeout", 3_600_000, HOLD_FEN)
    assert isinstance(settled, HoldSettled)
    story = list(farm.story)
    assert not farm.run(end_overrun, overrun).done
    assert farm.ended("completed", run_ms=9_000_000, at=after(90_001)) == "stale"
    assert farm.wallet() == Wallet(available_fen=10_000 - HOLD_FEN)
    assert len(farm.story) == len(story) + 1, "only that it was refused"


def test_a_confirmation_after_the_platform_gave_up_waiting_charges_nothing_more() -> None:
    farm = running()
    farm.cancel(at=after(60))
    farm.end_overdue(after(90))
    story = list(farm.story)
    assert farm.ended("cancelled", run_ms=95_000, at=after(95)) == "already"
    assert farm.story == story


def test_a_hold_is_extended_before_it_is_used_up() -> None:
    farm = running()
    assert farm.meter(after(585)).verdict == "enough"
    assert farm.meter(after(586)).verdict == "extended"
    assert farm.meter(after(586)).verdict == "enough"
    extended = farm.last(1)[0]
    assert isinstance(extended, HoldExtended)
    assert extended.amount_fen == 525
    assert farm.wallet().holds == {TASK_ID: HOLD_FEN + 525}


def test_a_task_whose_money_is_used_up_stops_and_pays_all_of_it() -> None:
    farm = running(HOLD_FEN + 100)
    assert farm.meter(after(590)).verdict == "extended"
    assert farm.meter(after(600)).verdict == "enough"
    assert farm.meter(after(660)).verdict == "stopping"
    stop = farm.last(1)[0]
    assert isinstance(stop, TaskCancelRequested)
    assert stop.reason == "balance_exhausted"
    assert farm.meter(after(661)).verdict == "not_running"
    farm.ended("cancelled", run_ms=662_000, at=after(662))
    ended = farm.facts(TASK_ID)[-1]
    assert isinstance(ended, TaskFailed)
    assert (ended.reason, ended.cost_fen) == ("balance_exhausted", HOLD_FEN + 100)
    assert farm.wallet() == Wallet()


def test_a_user_who_tops_up_in_time_keeps_the_task() -> None:
    farm = running(HOLD_FEN)
    assert farm.meter(after(599)).verdict == "enough"
    farm.with_balance(10_000)
    assert farm.meter(after(599)).verdict == "extended"


def test_a_free_task_is_never_stopped_for_money() -> None:
    farm = Farm().with_server()
    farm.submit(FREE)
    farm.assign()
    farm.began()
    assert farm.meter(after(10**6)).verdict == "enough"


@pytest.mark.parametrize(("attempt", "task_id"), [(2, TASK_ID), (1, OTHER_TASK)])
def test_only_the_current_attempt_is_metered(attempt: int, task_id: UUID) -> None:
    farm = running()
    assert farm.meter(after(10**6), attempt, task_id).verdict == "not_running"


def test_a_command_names_the_streams_it_will_want() -> None:
    named: dict[str, Any] = {"task_id": TASK_ID, "attempt": 1, "at": NOON}
    assert AssignTask(**named, server_id=SERVER_ID).streams() == (TASK_ID, SERVER_ID)
    lost = LoseAttempt(**named, server_id=SERVER_ID, reason="agent_lost", counted=True)
    assert lost.streams() == (CONFIGURATION_STREAM, TASK_ID)
    assert EndOverdueCancel(**named).streams() == (TASK_ID,)
    assert EndOverrun(**named, server_id=SERVER_ID).streams() == (TASK_ID,)
    assert ExtendHold(**named).streams() == (CONFIGURATION_STREAM, TASK_ID)
