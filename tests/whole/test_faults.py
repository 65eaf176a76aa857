"""Programs and servers killed while work is under way: nothing is lost, nothing is doubled."""

import random
import threading
import time
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.stack import LiveStack
from tests.whole.farm import Client, Farm, new_name
from tests.whole.processes import wait_for

RUN_S = 2
# the platform gives up in under four; the rest is for a machine whose cores are taken, and a
# request that hangs takes its client's whole patience, which is twice as long
ANSWERED_WITHIN_S = 10.0


@pytest.mark.parametrize("victim", ["api", "worker", "agent"])
def test_a_program_killed_at_any_moment_leaves_one_end_and_one_charge(
    farm: Farm, victim: str
) -> None:
    user = farm.user(new_name(), number=1)
    tasks = [user.submit("test", seconds=RUN_S) for _ in range(4)]
    time.sleep(random.Random(victim).uniform(0.0, RUN_S))  # at any moment: a wait is the test
    assert farm.agent is not None
    process = {"api": farm.apis[0], "worker": farm.workers[0], "agent": farm.agent}[victim]
    process.kill()
    process.start()
    for task_id in tasks:
        assert user.ended(task_id, within_s=60)["status"] == "completed"
        assert farm.story(task_id).count("tasks.task_completed/1") == 1
    farm.online()


def test_both_workers_killed_and_started_again_go_on(farm: Farm) -> None:
    user = farm.user(new_name())
    tasks = [user.submit("test", seconds=RUN_S) for _ in range(3)]
    for worker in farm.workers:
        worker.kill()
    for worker in farm.workers:
        worker.start()
    for task_id in tasks:
        assert user.ended(task_id, within_s=60)["status"] == "completed"


def test_a_broker_that_lost_everything_delays_work_and_loses_none(
    farm: Farm, durable_stack: LiveStack
) -> None:
    user = farm.user(new_name())
    running = user.submit("test", seconds=RUN_S)
    wait_for(lambda: user.task(running)["status"] == "running", "the first task runs")
    durable_stack.wipe_nats()
    waiting = [user.submit("test", seconds=0) for _ in range(3)]
    for task_id in [running, *waiting]:
        assert user.ended(task_id, within_s=60)["status"] == "completed"


def test_tasks_submitted_without_a_broker_run_when_it_is_back(
    farm: Farm, durable_stack: LiveStack
) -> None:
    user = farm.user(new_name())
    durable_stack.kill_nats()
    try:
        task_id = user.submit("test", seconds=0)
        assert user.task(task_id)["status"] == "pending"
    finally:
        durable_stack.start_nats()
    assert user.ended(task_id, within_s=60)["status"] == "completed"


class Submitter(threading.Thread):
    """Submits free tasks and writes down what it was told; repeats what it was not told."""

    def __init__(self, client: Client, stop: threading.Event) -> None:
        super().__init__()
        self.client = client
        self.told: list[str] = []
        self.slowest_s = 0.0
        self.refusals: set[tuple[int, str]] = set()
        self._stop_asked = stop

    def run(self) -> None:
        while not self._stop_asked.is_set():
            self._submit_until_told(str(uuid4()))

    def _submit_until_told(self, key: str) -> None:
        body = {"title": f"fault {key}", "task_type": "test"}
        while True:
            began = time.monotonic()
            try:
                answer = self.client.http.post(
                    "/tasks", json=body, headers={"Idempotency-Key": key}
                )
            except httpx.TransportError:
                continue
            finally:
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            if answer.is_success:
                self.told.append(answer.json()["data"]["id"])
                self.client.ended(self.told[-1], within_s=60)
                return
            self.refusals.add((answer.status_code, answer.json()["error_code"]))
            time.sleep(0.05)


def test_a_database_killed_under_load_loses_no_told_write_and_doubles_none(
    farm: Farm, durable_stack: LiveStack
) -> None:
    stop = threading.Event()
    submitters = [
        Submitter(farm.user(new_name(), number=number % 2), stop) for number in range(6)
    ]
    for submitter in submitters:
        submitter.start()
    try:
        for _ in range(3):
            time.sleep(1.0)
            durable_stack.kill_postgres()
            time.sleep(0.5)
            durable_stack.start_postgres()
        time.sleep(1.0)
    finally:
        stop.set()
        for submitter in submitters:
            submitter.join(120)
    told = [task_id for submitter in submitters for task_id in submitter.told]
    assert told
    with psycopg.connect(farm.database_url) as connection:
        submitted = [
            row[0]
            for row in connection.execute(
                "SELECT fact ->> 'title' FROM owl_log.story"
                " WHERE tag = 'tasks.task_submitted/1' AND fact ->> 'title' LIKE 'fault %'"
            )
        ]
        stored = {
            row[0]
            for row in connection.execute(
                "SELECT fact ->> 'task_id' FROM owl_log.story"
                " WHERE tag = 'tasks.task_submitted/1'"
            )
        }
    assert set(told) <= stored, "a write that was acknowledged is gone"
    assert len(submitted) == len(set(submitted)), "a repeated write was done twice"
    refusals = set().union(*(submitter.refusals for submitter in submitters))
    assert refusals <= {(503, "SERVER_UNAVAILABLE")}
    assert max(submitter.slowest_s for submitter in submitters) < ANSWERED_WITHIN_S
