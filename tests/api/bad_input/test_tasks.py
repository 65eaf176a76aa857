"""Tasks: what each of their endpoints refuses. Rows of ``docs/contract/bad-input.md``."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.api.live import LiveApi, Person, field_errors, ok, refused
from tests.domain.test_source_url import FLAWS, GOOD
from tests.journeys.farm import Server

NOBODY = "0190a3c4-7b1e-7f00-8000-00000000dead"
TASK = {"title": "测试任务", "task_type": "test", "description": "这是一个测试任务"}
URLS = [url for urls in FLAWS.values() for url in urls if len(url) < 200 and url.isprintable()]


@pytest.fixture(scope="module")
def server(api: LiveApi, admin: Person) -> Server:
    server = Server(api, admin, name="bad-input")
    server.enrol()
    server.beat()
    return server


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"task_type": "mining"}, "task_type"),
        ({"task_type": "Video Analysis"}, "task_type"),
        ({"task_type": "../test"}, "task_type"),
        ({"task_type": ""}, "task_type"),
        ({"title": ""}, "title"),
        ({"title": "\u200b\u200b"}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"description": "x" * 2001}, "description"),
        ({"priority": 0}, "priority"),
        ({"priority": 6}, "priority"),
        ({"estimated_duration": 0}, "estimated_duration"),
        ({"estimated_duration": 1441}, "estimated_duration"),
        ({"config": {"seconds": -1}}, "config.seconds"),
        ({"config": {"seconds": "1"}}, "config.seconds"),
        ({"config": {"nope": 1}}, "config.nope"),
        ({"config": {"timeout_seconds": 0}}, "config.timeout_seconds"),
        ({"config": {"timeout_seconds": 86_401}}, "config.timeout_seconds"),
        ({"task_type": "video_analysis"}, "config.video_url"),
        ({"status": "completed"}, "status"),
        ({"user_id": str(uuid4())}, "user_id"),
        ({"cost": 0}, "cost"),
    ],
)
def test_orders(user: Person, change: dict[str, Any], field: str) -> None:
    """C2.06"""
    assert list(field_errors(user.client.post("/api/tasks", json=TASK | change))) == [field]


def video(url: Any) -> dict[str, Any]:
    return TASK | {"task_type": "video_analysis", "config": {"video_url": url}}


@pytest.mark.parametrize(
    "url", [*URLS, None, 7, "https://a\x00b/", "https://e.cn/" + "a" * 2_048]
)
def test_video_addresses(user: Person, url: Any) -> None:
    """C2.06"""
    found = field_errors(user.client.post("/api/tasks", json=video(url)))
    assert list(found) == ["config.video_url"]


@pytest.mark.parametrize("url", GOOD)
def test_video_addresses_that_are_ones_fail_for_money_only(user: Person, url: str) -> None:
    """C2.06"""
    details = refused(
        user.client.post("/api/tasks", json=video(url)), 400, "INSUFFICIENT_BALANCE"
    )
    assert details["required"] > details["available"]


def test_the_minimal_order_works_until_there_are_too_many(api: LiveApi) -> None:
    """C2.06"""
    with api.someone() as person:
        for _ in range(5):
            ok(person.client.post("/api/tasks", json=TASK))
        details = refused(
            person.client.post("/api/tasks", json=TASK), 429, "TASK_LIMIT_EXCEEDED"
        )
        assert details == {"limit": 5, "active": 5}


@pytest.mark.parametrize("whose", ["all", NOBODY])
def test_lists_show_ones_own_tasks_only(api: LiveApi, user: Person, whose: str) -> None:
    """C2.07"""
    refused(user.client.get(f"/api/tasks?user_id={whose}"), 403, "ACCESS_DENIED")
    with api.someone() as other:
        ok(other.client.post("/api/tasks", json=TASK))
        theirs = ok(other.client.get("/api/tasks"))["items"]
        mine = ok(user.client.get("/api/tasks?page_size=100"))["items"]
    assert {task["id"] for task in theirs}.isdisjoint(task["id"] for task in mine)


def test_another_users_task_is_as_absent_as_none(api: LiveApi, user: Person) -> None:
    """C2.08"""
    with api.someone() as other:
        task_id = ok(other.client.post("/api/tasks", json=TASK))["id"]
    there = user.client.get(f"/api/tasks/{task_id}")
    nowhere = user.client.get(f"/api/tasks/{uuid4()}")
    refused(there, 404, "RESOURCE_NOT_FOUND")
    assert there.json() == nowhere.json()


def test_cancelling_retrying_and_deleting(api: LiveApi, server: Server) -> None:
    """C2.09 C2.10 C2.11"""
    with api.someone() as person:

        def submitted() -> str:
            return str(ok(person.client.post("/api/tasks", json=TASK))["id"])

        def asked(task_id: str, act: str) -> Any:
            return person.client.post(f"/api/tasks/{task_id}/{act}")

        waiting, running = submitted(), submitted()
        refused(asked(waiting, "retry"), 409, "INVALID_STATE")
        assert ok(asked(waiting, "cancel")) == ok(asked(waiting, "cancel"))
        ok(asked(waiting, "retry"))
        server.take(UUID(running))
        refused(asked(running, "retry"), 409, "INVALID_STATE")
        refused(person.client.delete(f"/api/tasks/{running}"), 409, "INVALID_STATE")
        server.end(UUID(running), "completed")
        refused(asked(running, "cancel"), 409, "INVALID_STATE")
        refused(asked(running, "retry"), 409, "INVALID_STATE")
        ok(person.client.delete(f"/api/tasks/{running}"))
        for method, path in [
            ("GET", ""),
            ("DELETE", ""),
            ("POST", "/cancel"),
            ("POST", "/retry"),
            ("GET", "/artifacts/x"),
        ]:
            answer = person.client.request(method, f"/api/tasks/{running}{path}")
            refused(answer, 404, "RESOURCE_NOT_FOUND")
        refused(person.client.get(f"/api/logs/tasks/{running}"), 404, "RESOURCE_NOT_FOUND")
