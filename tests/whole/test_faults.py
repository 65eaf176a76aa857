"""Programs and servers killed while work is under way: nothing is lost, nothing is doubled."""

import random
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from tests.stack import LiveStack
from tests.whole.farm import Client, Farm, new_name
from tests.whole.processes import Process, wait_for
from tests.whole.submitters import check_told, submitting

RUN_S = 2
ROUNDS = 2
YUAN = 500
PRICE = 3.0
PROMISED_S = 3.0
MARGIN_S = 5.0  # all processes share two cores with other tests; without an end is 20 s here


@pytest.fixture(scope="module")
def farm(farm_to_hurt: Farm) -> Farm:
    return farm_to_hurt


@pytest.fixture
def priced(farm: Farm) -> Iterator[None]:
    """``test`` costs money for once."""
    admin = farm.admin()
    free = admin.ask("GET", "/admin/config")["prices_per_minute"]
    admin.ask("PUT", "/admin/config", {"prices_per_minute": {**free, "test": PRICE}})
    yield
    farm.admin().ask("PUT", "/admin/config", {"prices_per_minute": free})


def drawn_anew() -> random.Random:
    """Chance, and how to have the same again."""
    seed = secrets.randbits(32)
    print(f"drawn from {seed}")  # noqa: T201 - whoever reads of a failure can draw it again
    return random.Random(seed)


def ended_and_charged_once(farm: Farm, user: Client, tasks: list[str]) -> float:
    """What the tasks cost together."""
    spent = 0.0
    for task_id in tasks:
        task = user.ended(task_id, within_s=60)
        assert task["status"] == "completed"
        assert task["cost"] > 0
        spent += task["cost"]
        story = farm.story(task_id)
        assert story.count("tasks.task_completed/1") == 1
        assert story.count("wallet.hold_settled/1") == 1
    return spent


@pytest.mark.parametrize("victim", ["api", "agent"])
@pytest.mark.usefixtures("priced")
def test_a_program_killed_at_any_moment_leaves_one_end_and_one_charge(
    farm: Farm, victim: str
) -> None:
    draw = drawn_anew()
    user, spent = farm.user(new_name(), yuan=YUAN, number=1), 0.0
    assert farm.agent is not None
    process = {"api": farm.apis[0], "agent": farm.agent}[victim]
    for _ in range(ROUNDS):
        tasks = [user.submit("test", seconds=RUN_S) for _ in range(4)]
        time.sleep(draw.uniform(0.0, RUN_S))  # at any moment: a wait is the test
        process.kill()
        process.start()
        spent += ended_and_charged_once(farm, user, tasks)
    assert user.ask("GET", "/users/me")["balance"] == round(YUAN - spent, 2)
    farm.online()


@pytest.mark.usefixtures("priced")
def test_the_worker_that_leads_is_killed_and_the_other_one_takes_over(farm: Farm) -> None:
    draw = drawn_anew()
    user, spent = farm.user(new_name(), yuan=YUAN), 0.0
    for _ in range(ROUNDS):
        leader = wait_for(lambda: farm.leader("dispatch"), "somebody leads")
        (other,) = (worker for worker in farm.workers if worker is not leader)
        assert isinstance(leader, Process)
        tasks = [user.submit("test", seconds=RUN_S) for _ in range(4)]
        time.sleep(draw.uniform(0.0, RUN_S))  # at any moment: a wait is the test
        leader.kill()
        wait_for(partial(leads, farm, other), "the other one leads")
        spent += ended_and_charged_once(farm, user, tasks)
        leader.start()
    assert user.ask("GET", "/users/me")["balance"] == round(YUAN - spent, 2)


def leads(farm: Farm, worker: Process) -> bool:
    return farm.leader("dispatch") is worker


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


def test_a_database_killed_under_load_loses_no_told_write_and_doubles_none(
    farm: Farm, durable_stack: LiveStack
) -> None:
    with submitting(farm, 6) as submitters:
        for _ in range(3):
            time.sleep(1.0)
            durable_stack.kill_postgres()
            time.sleep(0.5)
            durable_stack.start_postgres()
        time.sleep(1.0)
    check_told(farm, submitters)
    refusals = set().union(*(submitter.refusals for submitter in submitters))
    assert refusals <= {(503, "SERVER_UNAVAILABLE")}
    answers = sum((submitter.client.statuses for submitter in submitters), Counter[int]())
    assert answers[503], "nobody noticed that the database was gone"
    assert {status for status in answers if status >= 500} == {503}
    assert max(submitter.slowest_s for submitter in submitters) < PROMISED_S + MARGIN_S
