"""Postgres goes and comes back: 503 in time meanwhile, and nothing acknowledged is lost."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil
import pytest

from tests.api.live import LiveApi, ok, refused
from tests.stack import LiveStack

FREE = {"title": "x", "task_type": "test"}
PROMISED_S = 3.0
TRIES = 3  # one pause of a busy machine is no broken promise; three in a row are


@pytest.fixture
def durable_api(durable_stack: LiveStack) -> Iterator[LiveApi]:
    url = durable_stack.create_database()
    with LiveApi(url, patient=False) as live:
        yield live
    durable_stack.drop_database(url)


@contextmanager
def frozen(stack: LiveStack) -> Iterator[None]:
    """Every process of Postgres stopped: it neither answers nor closes a connection."""
    pid = stack.stack.servers["PostgreSQL"].pid
    assert pid is not None
    postmaster = psutil.Process(pid)
    processes = [postmaster, *postmaster.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def refused_in_time(client: httpx.Client, method: str, path: str) -> httpx.Response:
    """Ask until an answer comes within the promise; each of them is a 503."""
    took_s = []
    for _ in range(TRIES):
        began = time.monotonic()
        answer = client.request(method, path, json=FREE if method == "POST" else None)
        took_s.append(time.monotonic() - began)
        refused(answer, 503, "SERVER_UNAVAILABLE")
        if took_s[-1] < PROMISED_S + 0.5:
            return answer
    raise AssertionError(f"{path} was answered after {took_s} s")


def test_without_postgres_every_answer_is_a_503_in_time(
    durable_stack: LiveStack, durable_api: LiveApi
) -> None:
    with durable_api.someone() as person, durable_api.client() as anonymous:
        durable_stack.kill_postgres()
        try:
            for client, method, path in (
                (person.client, "GET", "/api/users/me"),
                (person.client, "POST", "/api/tasks"),
                (anonymous, "GET", "/health/ready"),
            ):
                answer = refused_in_time(client, method, path)
                assert int(answer.headers["retry-after"]) >= 1
            login = {"email": person.email, "password": "password123"}
            refused(anonymous.post("/api/auth/login", json=login), 503, "SERVER_UNAVAILABLE")
            ok(anonymous.get("/health/live"))
        finally:
            durable_stack.start_postgres()
        durable_api.until(
            lambda: person.client.get("/api/users/me").status_code == 200, within_s=30
        )
        durable_api.until(
            lambda: person.client.post("/api/tasks", json=FREE).status_code == 200,
            within_s=30,
        )


def test_a_frozen_postgres_is_answered_for_in_time(
    durable_stack: LiveStack, durable_api: LiveApi
) -> None:
    with durable_api.someone() as person:
        with frozen(durable_stack):
            for method, path in (("GET", "/api/users/me"), ("POST", "/api/tasks")):
                refused_in_time(person.client, method, path)
        durable_api.until(
            lambda: person.client.get("/api/users/me").status_code == 200, within_s=30
        )


def test_a_kill_under_load_loses_nothing_and_doubles_nothing(
    durable_stack: LiveStack, durable_api: LiveApi
) -> None:
    keys = [f"load-{number}-x" for number in range(400)]
    answered: dict[str, str] = {}
    with durable_api.someone("admin") as admin:

        def issue(client: httpx.Client, key: str) -> bool:
            answer = client.post(
                "/api/recharge/codes", json={"amount": 1}, headers={"Idempotency-Key": key}
            )
            assert answer.status_code in {200, 503}, answer.text
            if answer.status_code == 200:
                code = answer.json()["data"]["codes"][0]["id"]
                assert answered.setdefault(key, code) == code
            return answer.status_code == 200

        def work(share: int) -> None:
            with durable_api.client(admin.token) as client:
                for key in keys[share::8]:
                    for _ in range(200):
                        if issue(client, key):
                            break
                        time.sleep(0.1)  # a client that is told to come back

        threads = [threading.Thread(target=work, args=(share,)) for share in range(8)]
        for thread in threads:
            thread.start()
        durable_api.until(lambda: len(answered) > 50)
        durable_stack.kill_postgres()
        durable_stack.start_postgres()
        for thread in threads:
            thread.join(60)
        assert answered.keys() == set(keys)
    recorded = durable_api.rows(
        "SELECT fact ->> 'code_id' FROM owl_log.story WHERE tag = 'recharge.code_issued/1'"
    )
    assert sorted(row[0] for row in recorded) == sorted(answered.values())
