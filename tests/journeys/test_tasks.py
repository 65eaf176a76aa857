"""任务管理: a task is submitted, runs, ends, is paid; is cancelled, run again, deleted."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from domain.tasks.events import Artifact
from tests.api.live import LiveApi, Person, ok, refused
from tests.journeys.farm import Server
from tests.journeys.test_recharge import issued

SAMPLE = {
    "title": "视频分析任务",
    "description": "分析视频内容",
    "task_type": "video_analysis",
    "priority": 2,
    "estimated_duration": 30,
    "config": {"video_url": "https://example.com/video.mp4", "analysis_type": "content"},
}
FREE = {"title": "测试任务", "task_type": "test", "description": "这是一个测试任务"}


@pytest.fixture(scope="module")
def server(api: LiveApi, admin: Person) -> Server:
    server = Server(api, admin)
    server.enrol()
    server.beat()
    return server


@pytest.fixture
def rich(api: LiveApi, admin: Person) -> Iterator[Person]:
    with api.someone() as person:
        (code,) = issued(admin, batch_size=1)
        ok(person.client.post("/api/recharge/redeem", json={"code": code}))
        yield person


def submitted(person: Person, body: dict[str, Any] = FREE) -> UUID:
    return UUID(ok(person.client.post("/api/tasks", json=body))["id"])


def detail(person: Person, task_id: UUID) -> Any:
    return ok(person.client.get(f"/api/tasks/{task_id}"))


def test_a_task_goes_its_whole_way(rich: Person, server: Server) -> None:
    answer = rich.client.post("/api/tasks", json=SAMPLE)
    created = ok(answer)
    assert created.keys() == {"id", "title", "status", "progress", "created_at"}
    assert (created["title"], created["status"], created["progress"]) == (
        "视频分析任务",
        "pending",
        0.0,
    )
    task_id = UUID(created["id"])
    waiting = detail(rich, task_id)
    assert waiting["pending_reason"] == "next"
    assert waiting["queue_position"] == 1
    assert waiting["config"] == SAMPLE["config"]
    assert waiting["created_at"] == created["created_at"]
    me = ok(rich.client.get("/api/users/me"))
    assert (me["balance"], me["held_balance"], me["available_balance"]) == (100, 31.5, 68.5)

    server.take(task_id)
    server.advance(task_id, 45.5)
    running = detail(rich, task_id)
    assert (running["status"], running["progress"]) == ("running", 45.5)
    assert running["gpu_server_id"] == str(server.server_id)
    assert running["started_at"]
    assert running["completed_at"] is None
    assert running["result"] == {}
    assert running["error_message"] is None

    picture = b"\xff\xd8 a picture"
    artifact = Artifact(
        name="scene-1.jpg",
        size_bytes=len(picture),
        sha256=server.api.files.put(picture),
        media_type="image/jpeg",
    )
    result = {"scenes": 3}
    server.end(task_id, "completed", run_ms=100_000, result=result, artifacts=(artifact,))
    done = detail(rich, task_id)
    assert (done["status"], done["progress"], done["result"]) == ("completed", 100, result)
    assert done["completed_at"].endswith("Z")
    assert [attempt["outcome"] for attempt in done["attempts"]] == ["completed"]
    me = ok(rich.client.get("/api/users/me"))
    assert done["cost"] == 1.75
    assert (me["balance"], me["held_balance"], me["available_balance"]) == (98.25, 0, 98.25)

    (shown,) = done["artifacts"]
    fetched = rich.client.get(shown["url"])
    assert fetched.content == picture
    assert fetched.headers["content-type"] == "image/jpeg"
    assert fetched.headers["content-length"] == str(len(picture))
    assert fetched.headers["x-content-type-options"] == "nosniff"
    for name in ("other.jpg", "..%2Fsecret", "scene-1.jpg%0d%0aX: y"):
        answer = rich.client.get(f"/api/tasks/{task_id}/artifacts/{name}")
        refused(answer, 404, "RESOURCE_NOT_FOUND")

    for action in ("cancel", "retry"):
        answer = rich.client.post(f"/api/tasks/{task_id}/{action}")
        refused(answer, 409, "INVALID_STATE")
    ok(rich.client.delete(f"/api/tasks/{task_id}"))
    refused(rich.client.get(f"/api/tasks/{task_id}"), 404, "RESOURCE_NOT_FOUND")
    refused(rich.client.delete(f"/api/tasks/{task_id}"), 404, "RESOURCE_NOT_FOUND")
    assert ok(rich.client.get("/api/users/me"))["total_tasks"] == 1


def test_a_waiting_task_is_cancelled_at_once_and_costs_nothing(rich: Person) -> None:
    task_id = submitted(rich, SAMPLE)
    for _ in range(2):
        standing = ok(rich.client.post(f"/api/tasks/{task_id}/cancel"))
        assert standing == {
            "id": str(task_id),
            "status": "cancelled",
            "phase": "cancelled",
            "attempt": 1,
        }
    assert detail(rich, task_id)["reason"] == "cancelled_by_user"
    assert rich.balance() == 100


def test_a_running_task_is_being_cancelled_until_its_agent_confirms(
    rich: Person, server: Server
) -> None:
    task_id = submitted(rich, SAMPLE)
    server.take(task_id)
    for _ in range(2):
        standing = ok(rich.client.post(f"/api/tasks/{task_id}/cancel"))
        assert (standing["status"], standing["phase"]) == ("running", "cancelling")
    refused(rich.client.delete(f"/api/tasks/{task_id}"), 409, "INVALID_STATE")
    server.end(task_id, "cancelled", run_ms=20_000)
    ended = detail(rich, task_id)
    assert (ended["status"], ended["cost"]) == ("cancelled", 0.35)
    me = ok(rich.client.get("/api/users/me"))
    assert (me["balance"], me["held_balance"]) == (99.65, 0)


def test_a_failed_task_runs_again_under_the_same_id(rich: Person, server: Server) -> None:
    task_id = submitted(rich)
    server.take(task_id)
    server.end(task_id, "failed", reason="user_error", error_message="no such video")
    failed = detail(rich, task_id)
    assert (failed["status"], failed["reason"], failed["fault"]) == (
        "failed",
        "user_error",
        "user",
    )
    told = "任务的输入或配置有误，请修正后另建任务（no such video）"
    assert failed["error_message"] == told
    assert failed["attempts"][-1]["error_message"] == told
    (listed,) = ok(rich.client.get("/api/tasks"))["items"]
    assert listed["error_message"] == told
    log = ok(rich.client.get(f"/api/logs/tasks/{task_id}"))["items"]
    data = {line["message"]: line["data"] for line in log}
    assert data[f"任务失败：{told}"]["error_message"] == "no such video"
    standing = ok(rich.client.post(f"/api/tasks/{task_id}/retry"))
    assert (standing["status"], standing["attempt"]) == ("pending", 2)
    again = detail(rich, task_id)
    assert (again["status"], again["progress"], again["error_message"]) == ("pending", 0, None)
    assert len(again["attempts"]) == 1
    ok(rich.client.delete(f"/api/tasks/{task_id}"))
    assert ok(rich.client.get("/api/users/me"))["held_balance"] == 0


def test_what_the_platform_broke_is_told_in_ones_language_and_not_in_its_own(
    rich: Person, server: Server, admin: Person
) -> None:
    task_id = submitted(rich)
    server.take(task_id)
    server.end(task_id, "failed", reason="internal", error_message="KeyError('/srv/owl')")
    english = {"Accept-Language": "en"}
    for headers, told, failed in (
        ({}, "平台内部错误，任务未能完成，本次不收费，", "任务失败："),
        (english, "The platform failed, free of charge: run the task again", "Task failed: "),
    ):
        task = ok(rich.client.get(f"/api/tasks/{task_id}", headers=headers))
        (listed,) = ok(rich.client.get("/api/tasks", headers=headers))["items"]
        log = ok(rich.client.get(f"/api/logs/tasks/{task_id}", headers=headers))["items"]
        sentence = task["error_message"]
        assert sentence.startswith(told)
        assert "KeyError" not in sentence
        assert sentence == listed["error_message"] == task["attempts"][-1]["error_message"]
        assert failed + sentence in [line["message"] for line in log]
        assert "/srv/owl" not in str(log)
    file = f"/api/logs/download?log_type=tasks&task_id={task_id}"
    assert "/srv/owl" not in admin.client.get(file).text


def test_another_users_task_does_not_exist(
    api: LiveApi, rich: Person, admin: Person, auditor: Person
) -> None:
    task_id = submitted(rich)
    with api.someone() as stranger:
        client = stranger.client
        for answer in (
            client.get(f"/api/tasks/{task_id}"),
            client.get(f"/api/logs/tasks/{task_id}"),
            client.post(f"/api/tasks/{task_id}/cancel"),
            client.post(f"/api/tasks/{task_id}/retry"),
            client.delete(f"/api/tasks/{task_id}"),
        ):
            refused(answer, 404, "RESOURCE_NOT_FOUND")
        assert ok(client.get("/api/tasks"))["total"] == 0
        refused(client.get("/api/tasks?user_id=all"), 403, "ACCESS_DENIED")
        refused(client.get(f"/api/tasks?user_id={rich.user_id}"), 403, "ACCESS_DENIED")
        refused(client.get("/api/tasks?user_id=nope"), 422, "VALIDATION_ERROR")
    own = ok(rich.client.get(f"/api/tasks?user_id={rich.user_id}"))
    assert own == ok(rich.client.get("/api/tasks"))
    assert own["total"] >= 1
    for reader in (admin, auditor):
        assert detail(reader, task_id)["user_id"] == str(rich.user_id)
        listed = ok(reader.client.get(f"/api/tasks?user_id={rich.user_id}"))
        assert [item["id"] for item in listed["items"]] == [str(task_id)]
        assert ok(reader.client.get("/api/tasks?user_id=all"))["total"] >= 1
        wrong = reader.client.get("/api/tasks?user_id=nope")
        assert "user_id" in refused(wrong, 422, "VALIDATION_ERROR")["field_errors"]
    ok(admin.client.post(f"/api/tasks/{task_id}/cancel"))
    assert detail(rich, task_id)["reason"] == "cancelled_by_admin"


def test_tasks_are_listed_by_every_filter_and_order(api: LiveApi) -> None:
    with api.someone() as person:
        ids = [str(submitted(person, FREE | {"priority": value})) for value in (3, 1, 2)]
        ok(person.client.post(f"/api/tasks/{ids[1]}/cancel"))

        def listed(query: str) -> list[str]:
            page = ok(person.client.get(f"/api/tasks?{query}"))
            return [item["id"] for item in page["items"]]

        assert listed("") == ids[::-1]
        assert listed("sort_by=created_at&sort_order=asc") == ids
        assert listed("sort_by=priority&sort_order=desc") == [ids[0], ids[2], ids[1]]
        assert listed("sort_by=updated_at")[0] == ids[1]
        assert listed("status=cancelled") == [ids[1]]
        assert listed("status=running") == []
        assert listed("task_type=test&status=pending") == [ids[2], ids[0]]
        assert listed("task_type=video_analysis") == []
        assert listed("page=2&page_size=2") == [ids[0]]
        page = ok(person.client.get("/api/tasks?page=2&page_size=2"))
        counted = [page[name] for name in ("total", "page", "page_size", "total_pages")]
        assert counted == [3, 2, 2, 2]


def test_what_one_cannot_pay_for_is_refused(user: Person) -> None:
    answer = user.client.post("/api/tasks", json=SAMPLE)
    details = refused(answer, 400, "INSUFFICIENT_BALANCE")
    assert details == {"required": 31.5, "available": 0}
    assert answer.json()["message"].startswith("余额不足，请先充值")


def test_one_task_too_many_is_refused(api: LiveApi) -> None:
    with api.someone() as person:
        for _ in range(5):
            submitted(person)
        answer = person.client.post("/api/tasks", json=FREE)
        assert refused(answer, 429, "TASK_LIMIT_EXCEEDED") == {"limit": 5, "active": 5}


def test_a_repeated_submission_is_one_task(api: LiveApi) -> None:
    with api.someone() as person:
        headers = {"Idempotency-Key": "submit-1234"}
        answers = [
            person.client.post("/api/tasks", json=FREE, headers=headers) for _ in range(3)
        ]
        assert ok(answers[0]) == ok(answers[1]) == ok(answers[2])
        replays = [answer.headers.get("idempotent-replay") for answer in answers]
        assert replays == [None, "true", "true"]
        assert ok(person.client.get("/api/tasks"))["total"] == 1


def test_a_tasks_log_tells_its_story_and_its_output(rich: Person, server: Server) -> None:
    task_id = submitted(rich, SAMPLE)
    server.take(task_id)
    server.write(task_id, "first \x1b[31mred\x1b[0m line", "second\x07 line")
    server.end(task_id, "failed", reason="internal")
    ok(rich.client.post(f"/api/tasks/{task_id}/retry"))

    def lines(**headers: str) -> Any:
        return ok(rich.client.get(f"/api/logs/tasks/{task_id}", headers=headers))["items"]

    server.api.until(lambda: [line for line in lines() if line["source"] == "output"])
    told = lines()
    happened = " ".join(line["event"] for line in told if line["source"] == "event")
    assert re.sub(r"/\d", "", happened) == (
        "tasks.task_submitted wallet.hold_placed tasks.task_assigned tasks.task_started"
        " tasks.task_failed wallet.hold_settled tasks.task_retried wallet.hold_placed"
    )
    written = [line["message"] for line in told if line["source"] == "output"]
    assert written == ["first red line", "second line"]
    assert told[0]["message"] != lines(**{"Accept-Language": "en"})[0]["message"]
    assert all(line["position"] and line["event_id"] for line in told)
