"""What users do with tasks, and what it does to their money."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from commands.tasks import (
    CancelTask,
    DeleteTask,
    Queued,
    RetryTask,
    SubmitTask,
    TaskNow,
    delete_task,
    retry_task,
)
from domain.errors import InvalidInput, InvalidState, NotFound, Refused, Unavailable
from domain.ids import CONFIGURATION_STREAM, account_stream
from domain.system.events import ConfigurationChanged
from domain.tasks.events import (
    StaleReportRefused,
    TaskCancelled,
    TaskCancelRequested,
    TaskDeleted,
    TaskRequeued,
    TaskRetried,
)
from domain.tasks.submission import TaskOrder
from domain.wallet.events import HoldPlaced, HoldSettled
from domain.wallet.wallet import InsufficientBalance, TaskLimitExceeded
from tests.commands.farm import FREE, VIDEO, Farm, running
from tests.domain.cast import (
    ALICE,
    BOB,
    HOLD_FEN,
    NOON,
    OTHER_TASK,
    SERVER_ID,
    TASK_ID,
    after,
    hold_placed,
    submitted,
)

COFFEE = TaskOrder(title="t", task_type="coffee")
ADMIN: dict[str, Any] = {"user_id": BOB, "is_admin": True}
BY_ALICE: dict[str, Any] = {
    "task_id": TASK_ID,
    "user_id": ALICE,
    "is_admin": False,
    "at": NOON,
}


def configured(farm: Farm, **after_: Any) -> Farm:
    farm.given(CONFIGURATION_STREAM, ConfigurationChanged(before={}, after=after_))
    return farm


def cancelled_task() -> Farm:
    farm = Farm().with_balance(10_000)
    farm.submit()
    farm.cancel()
    return farm


def test_submitting_sets_the_price_aside_in_the_same_commit() -> None:
    farm = Farm().with_balance(10_000)
    assert farm.submit() == Queued(TASK_ID, 1, 105, HOLD_FEN, 3600)
    # in the order in which a reader of its log is told
    assert farm.story[-2:] == [(TASK_ID, submitted()), (account_stream(ALICE), hold_placed())]


def test_a_free_task_runs_on_an_empty_account_and_counts_as_open() -> None:
    farm = Farm()
    assert farm.submit(FREE).hold_fen == 0
    assert farm.wallet().holds == {TASK_ID: 0}


def test_a_refused_order_leaves_no_trace() -> None:
    farm = Farm().with_balance(HOLD_FEN - 1)
    story = list(farm.story)
    with pytest.raises(InsufficientBalance) as refusal:
        farm.submit()
    assert refusal.value.details == {"required": 10.5, "available": 10.49}
    assert farm.story == story


def test_the_checks_stand_in_the_order_of_the_contract() -> None:
    farm = configured(Farm(), maintenance_mode=True, max_concurrent_tasks_per_user=1)
    farm.submit(FREE, task_id=OTHER_TASK, is_admin=True)
    refusals: list[type[Refused]] = []

    def refused(order: TaskOrder) -> None:
        with pytest.raises(Refused) as refusal:
            farm.submit(order)
        refusals.append(type(refusal.value))

    refused(COFFEE)  # everything is wrong with it
    configured(farm, maintenance_mode=False)
    refused(COFFEE)
    refused(VIDEO)
    configured(farm, max_concurrent_tasks_per_user=2)
    refused(VIDEO)
    assert refusals == [Unavailable, InvalidInput, TaskLimitExceeded, InsufficientBalance]


def test_an_admin_submits_during_maintenance() -> None:
    farm = configured(Farm(), maintenance_mode=True)
    assert farm.submit(FREE, is_admin=True).attempt == 1


def test_the_limit_of_open_tasks_is_exact_and_ends_with_the_task() -> None:
    farm = Farm()
    ids = [UUID(int=number) for number in range(1, 8)]
    for task_id in ids[:5]:
        farm.submit(FREE, task_id=task_id)
    with pytest.raises(TaskLimitExceeded) as refusal:
        farm.submit(FREE, task_id=ids[5])
    assert refusal.value.details == {"limit": 5, "active": 5}
    farm.cancel(task_id=ids[0])
    assert farm.submit(FREE, task_id=ids[5]).attempt == 1


def test_another_user_s_tasks_do_not_count() -> None:
    farm = configured(Farm(), max_concurrent_tasks_per_user=1)
    farm.submit(FREE)
    assert farm.submit(FREE, task_id=OTHER_TASK, user_id=BOB).attempt == 1


def test_a_waiting_task_is_cancelled_at_once_and_its_hold_given_back() -> None:
    farm = Farm().with_balance(10_000)
    farm.submit()
    assert farm.cancel() == TaskNow(TASK_ID, 1, "cancelled")
    assert [type(fact) for fact in farm.last(2)] == [TaskCancelled, HoldSettled]
    assert (farm.wallet().available_fen, farm.wallet().holds) == (10_000, {})


def test_a_running_task_is_asked_to_stop_and_keeps_its_hold_until_it_has() -> None:
    farm = running()
    assert farm.cancel(at=after(60)) == TaskNow(TASK_ID, 1, "cancelling")
    assert [type(fact) for fact in farm.last(1)] == [TaskCancelRequested]
    assert farm.wallet().held_fen == HOLD_FEN


def test_cancelling_again_changes_nothing() -> None:
    farm = running()
    farm.cancel()
    story = list(farm.story)
    assert farm.cancel() == TaskNow(TASK_ID, 1, "cancelling")
    assert farm.story == story


def test_what_has_ended_is_not_cancelled() -> None:
    farm = running()
    farm.ended("completed", at=after(60))
    with pytest.raises(InvalidState):
        farm.cancel()


def test_who_cancelled_is_on_record() -> None:
    by_owner, by_admin = running(), running()
    by_owner.cancel(is_admin=True)  # an admin's own task
    by_admin.cancel(**ADMIN)
    assert by_owner.task().cancel_reason == "cancelled_by_user"
    assert by_admin.task().cancel_reason == "cancelled_by_admin"


def test_running_again_takes_a_new_hold_for_the_next_attempt() -> None:
    farm = cancelled_task()
    queued = farm.run(retry_task, RetryTask(**BY_ALICE))
    assert queued == Queued(TASK_ID, 2, 105, HOLD_FEN, 3600)
    assert [type(fact) for fact in farm.last(2)] == [TaskRetried, HoldPlaced]
    assert farm.wallet().holds == {TASK_ID: HOLD_FEN}
    assert farm.task().phase == "pending"


def test_an_admin_runs_a_user_s_task_again_on_the_user_s_money() -> None:
    farm = cancelled_task()
    farm.run(retry_task, RetryTask(**(BY_ALICE | ADMIN)))
    assert farm.wallet(ALICE).held_fen == HOLD_FEN
    assert farm.wallet(BOB).held_fen == 0


def test_running_again_passes_the_same_checks_as_submitting() -> None:
    farm = configured(cancelled_task(), maintenance_mode=True, max_concurrent_tasks_per_user=1)
    farm.submit(FREE, task_id=OTHER_TASK, is_admin=True)
    with pytest.raises(Unavailable):
        farm.run(retry_task, RetryTask(**BY_ALICE))
    configured(farm, maintenance_mode=False)
    with pytest.raises(TaskLimitExceeded):
        farm.run(retry_task, RetryTask(**BY_ALICE))
    configured(
        farm,
        max_concurrent_tasks_per_user=2,
        prices_fen_per_minute={"video_analysis": 1_001, "test": 0},
    )
    with pytest.raises(InsufficientBalance):
        farm.run(retry_task, RetryTask(**BY_ALICE))


def test_an_open_task_is_not_run_again() -> None:
    with pytest.raises(InvalidState):
        running().run(retry_task, RetryTask(**BY_ALICE))


def test_an_ended_task_is_deleted_and_its_money_stays() -> None:
    farm = running()
    farm.ended("completed", run_ms=60_000, at=after(60))
    assert farm.run(delete_task, DeleteTask(**BY_ALICE)).phase == "deleted"
    assert farm.wallet().available_fen == 10_000 - 105


def test_a_waiting_task_is_cancelled_and_deleted_in_one_commit() -> None:
    farm = Farm().with_balance(10_000)
    farm.submit()
    assert farm.run(delete_task, DeleteTask(**BY_ALICE)).phase == "deleted"
    kinds = [type(fact) for fact in farm.last(3)]
    assert set(kinds) == {TaskCancelled, HoldSettled, TaskDeleted}
    assert (farm.wallet().available_fen, farm.wallet().holds) == (10_000, {})


def test_a_task_that_no_server_has_begun_is_taken_back_cancelled_and_deleted() -> None:
    farm = Farm().with_server().with_balance(10_000)
    farm.submit()
    farm.assign()
    assert farm.run(delete_task, DeleteTask(**BY_ALICE)).phase == "deleted"
    withdrawn, cancelled, settled, deleted = farm.last(4)
    assert withdrawn == TaskRequeued(
        task_id=TASK_ID,
        user_id=ALICE,
        attempt=2,
        reason="cancelled_by_user",
        lost_server_id=SERVER_ID,
        counted=False,
    )
    assert isinstance(cancelled, TaskCancelled)
    assert cancelled.attempt == 2
    assert isinstance(settled, HoldSettled)
    assert settled.charged_fen == 0
    assert isinstance(deleted, TaskDeleted)
    assert (farm.wallet().available_fen, farm.wallet().holds) == (10_000, {})


def test_a_server_that_begins_a_deleted_task_after_all_is_refused() -> None:
    farm = Farm().with_server().with_balance(10_000)
    farm.submit()
    farm.assign()
    farm.run(delete_task, DeleteTask(**BY_ALICE))
    farm.began()
    farm.ended("completed", run_ms=60_000, at=after(60))
    assert {type(fact) for fact in farm.last(2)} == {StaleReportRefused}
    assert farm.wallet().available_fen == 10_000


@pytest.mark.parametrize("phase", ["running", "cancelling"])
def test_a_running_task_is_not_deleted(phase: str) -> None:
    farm = running()
    if phase == "cancelling":
        farm.cancel(at=after(60))
    with pytest.raises(InvalidState):
        farm.run(delete_task, DeleteTask(**BY_ALICE))
    assert farm.task().phase == phase


@pytest.mark.parametrize("task_id", [TASK_ID, OTHER_TASK], ids=["another's", "nobody's"])
def test_what_is_not_yours_is_not_there(task_id: UUID) -> None:
    farm = cancelled_task()
    story = list(farm.story)
    by_bob = BY_ALICE | {"user_id": BOB, "task_id": task_id}
    with pytest.raises(NotFound):
        farm.cancel(user_id=BOB, task_id=task_id)
    with pytest.raises(NotFound):
        farm.run(retry_task, RetryTask(**by_bob))
    with pytest.raises(NotFound):
        farm.run(delete_task, DeleteTask(**by_bob))
    assert farm.story == story


def test_what_was_deleted_is_not_there_either() -> None:
    farm = cancelled_task()
    farm.run(delete_task, DeleteTask(**BY_ALICE))
    with pytest.raises(NotFound):
        farm.cancel()
    with pytest.raises(NotFound):
        farm.run(retry_task, RetryTask(**BY_ALICE))
    with pytest.raises(NotFound):
        farm.run(delete_task, DeleteTask(**(BY_ALICE | ADMIN)))


def test_a_command_names_the_streams_it_will_want() -> None:
    submit = SubmitTask(task_id=TASK_ID, user_id=ALICE, order=FREE, is_admin=False, at=NOON)
    assert submit.streams() == (CONFIGURATION_STREAM, account_stream(ALICE))
    assert RetryTask(**BY_ALICE).streams() == (CONFIGURATION_STREAM, TASK_ID)
    assert CancelTask(**BY_ALICE).streams() == (TASK_ID,)
    assert DeleteTask(**BY_ALICE).streams() == (TASK_ID,)
