"""A task that is asked several things at once does one of them, and is paid for once."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from tests.api.live import LiveApi, Person, ok
from tests.journeys.farm import Server

FREE = {"title": "x", "task_type": "test"}
MINUTE = 100
"""What a minute costs, in yuan; each attempt runs for one."""
RACES = (
    (False, ("completed",), {("completed", MINUTE)}),
    # a cancellation that nobody has asked for is a lost attempt, and free
    (False, ("completed", "cancelled"),
     {("completed", MINUTE), ("cancelled", MINUTE), ("cancelled", 0)}),
    (True, ("cancelled", "cancelled"), {("cancelled", MINUTE)}),
)  # fmt: skip
"""Whether it is cancelled before, what agents say meanwhile, what may become of it."""
ROUNDS = 4 * len(RACES)
BALANCE = 10_000
ENDS = """
    SELECT count(*) FROM owl_log.story WHERE stream = '{task_id}'
        AND tag IN ('tasks.task_completed/1', 'tasks.task_cancelled/1', 'tasks.task_failed/1')
"""


@pytest.fixture(scope="module")
def server(api: LiveApi, admin: Person) -> Server:
    server = Server(api, admin, name="races")
    server.enrol()
    server.beat()
    return server


@pytest.fixture
def person(api: LiveApi) -> Iterator[Person]:
    with api.someone() as person:
        yield person


def at_once(*work: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(work)) as pool:
        return [done.result() for done in [pool.submit(each) for each in work]]


@pytest.fixture
def priced(admin: Person, person: Person) -> Iterator[Person]:
    """Somebody with money, for whom every millisecond costs something."""
    ok(admin.client.put("/api/admin/config", json={"prices_per_minute": {"test": MINUTE}}))
    ok(admin.client.put(f"/api/admin/users/{person.user_id}", json={"balance": BALANCE}))
    yield person
    ok(admin.client.put("/api/admin/config", json={"prices_per_minute": {"test": 0}}))


def test_a_cancellation_and_the_ends_of_an_attempt_have_one_winner(
    api: LiveApi, server: Server, priced: Person
) -> None:
    endings: Counter[str] = Counter()
    paid = 0.0
    for number in range(ROUNDS):
        asked_before, outcomes, possible = RACES[number % len(RACES)]
        task_id = UUID(ok(priced.client.post("/api/tasks", json=FREE))["id"])
        server.take(task_id)
        cancel = partial(priced.client.post, f"/api/tasks/{task_id}/cancel")
        if asked_before:
            ok(cancel())
        reports = [partial(server.end, task_id, each, run_ms=60_000) for each in outcomes]
        cancelled, *_ = at_once(cancel, *reports)
        assert cancelled.status_code in {200, 409}
        task = ok(priced.client.get(f"/api/tasks/{task_id}"))
        endings[task["status"]] += 1
        assert (task["status"], task["cost"]) in possible
        assert api.rows(ENDS.format(task_id=task_id)) == [(1,)]
        paid += task["cost"]
    assert endings.keys() == {"completed", "cancelled"}
    me = ok(priced.client.get("/api/users/me"))
    assert paid >= 2 * MINUTE * ROUNDS / len(RACES)
    assert (me["held_balance"], me["balance"]) == (0, BALANCE - paid)


def test_of_many_retries_at_once_one_runs(server: Server, person: Person) -> None:
    task_id = UUID(ok(person.client.post("/api/tasks", json=FREE))["id"])
    server.take(task_id)
    server.end(task_id, "failed", reason="user_error")
    again = [lambda: person.client.post(f"/api/tasks/{task_id}/retry").status_code] * 10
    assert sorted(at_once(*again)) == [200] + [409] * 9
    assert ok(person.client.get(f"/api/tasks/{task_id}"))["attempt"] == 2
