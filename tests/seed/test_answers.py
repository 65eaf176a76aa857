"""The printed envelopes, pages and errors: each is what a client gets."""

import json
import re
from collections.abc import Callable
from uuid import UUID

import httpx
import pytest

from tests.api.live import ok
from tests.seed.document import DOCUMENT, one
from tests.seed.shape import differences
from tests.seed.world import VIDEO, World

ENVELOPES = {
    ("json", "通用响应格式"),
    ("json", "分页响应格式"),
    ("http", "JWT Token认证"),
    ("json", "错误响应格式"),
    ("json", "参数验证错误示例"),
}
TEST_TASK = {"title": "测试任务", "task_type": "test"}
MOST_TASKS = 50


def printed(heading: str) -> object:
    return json.loads(one("json", heading).text)


def test_a_success_has_the_printed_envelope(world: World) -> None:
    body = world.user().client.get("/api/users/me").json()
    assert list(differences(printed("通用响应格式"), body)) == []
    assert body["error_code"] is None


def test_a_page_has_the_printed_fields(world: World) -> None:
    person = world.user()
    world.task(person, TEST_TASK)
    page = ok(person.client.get("/api/tasks?page=1&page_size=20"))
    assert list(differences(printed("分页响应格式"), page)) == []
    assert (page["total"], page["total_pages"], page["page_size"]) == (1, 1, 20)


def test_a_token_goes_into_the_printed_header(world: World) -> None:
    name, _, value = one("http", "JWT Token认证").text.partition(": ")
    headers = {name: value.replace("<your_jwt_token>", world.user().token)}
    with world.api.client() as client:
        ok(client.get("/api/users/me", headers=headers))


def test_wrong_fields_are_answered_word_for_word_as_printed(world: World) -> None:
    account = {"email": "no address", "username": "someone", "password": "12345"}
    with world.api.client() as client:
        response = client.post("/api/auth/register", json=account)
    assert response.status_code == 422
    assert response.json() == printed("参数验证错误示例")


def refused_by_validation(world: World) -> httpx.Response:
    return world.user().client.post("/api/tasks", json={"title": ""})


def refused_at_the_door(world: World) -> httpx.Response:
    with world.api.client("no token of ours") as client:
        return client.get("/api/users/me")


def refused_by_role(world: World) -> httpx.Response:
    return world.user().client.post("/api/recharge/codes", json={"amount": 1})


def not_found(world: World) -> httpx.Response:
    return world.user().client.get(f"/api/tasks/{UUID(int=7)}")


def too_poor(world: World) -> httpx.Response:
    return world.user(1).client.post("/api/tasks", json=VIDEO)


def too_many(world: World) -> httpx.Response:
    client = world.user().client
    for _ in range(MOST_TASKS):
        response = client.post("/api/tasks", json=TEST_TASK)
        if response.is_error:
            break
    return response


def in_maintenance(world: World) -> httpx.Response:
    client = world.user().client
    world.configure(maintenance_mode=True)
    try:
        return client.post("/api/tasks", json=TEST_TASK)
    finally:
        world.configure(maintenance_mode=False)


def after_a_defect(world: World) -> httpx.Response:
    client = world.user().client
    world.api.execute("ALTER VIEW read.recharge_records RENAME TO lost")
    try:
        return client.get("/api/recharge/records")
    finally:
        world.api.execute("ALTER VIEW read.lost RENAME TO recharge_records")


PROVOKED: dict[str, Callable[[World], httpx.Response]] = {
    "INVALID_CREDENTIALS": refused_at_the_door,
    "ACCESS_DENIED": refused_by_role,
    "RESOURCE_NOT_FOUND": not_found,
    "VALIDATION_ERROR": refused_by_validation,
    "INSUFFICIENT_BALANCE": too_poor,
    "TASK_LIMIT_EXCEEDED": too_many,
    "SERVER_UNAVAILABLE": in_maintenance,
    "INTERNAL_ERROR": after_a_defect,
}


def printed_errors() -> list[tuple[str, int]]:
    row = re.compile(r"^\| `(\w+)` \| (\d{3}) \|", re.MULTILINE)
    found = row.findall(DOCUMENT.read_text(encoding="utf-8"))
    return [(code, int(status)) for code, status in found]


def test_every_printed_error_is_provoked() -> None:
    assert [code for code, _ in printed_errors()] == list(PROVOKED)


@pytest.mark.parametrize(("code", "status"), printed_errors())
def test_an_error_has_its_printed_code_and_status(world: World, code: str, status: int) -> None:
    response = PROVOKED[code](world)
    body = response.json()
    assert (body["error_code"], response.status_code) == (code, status)
    assert list(differences(printed("错误响应格式"), body)) == []
    assert re.search(r"[\u4e00-\u9fff]", body["message"]), "said in Chinese, as printed"


@pytest.mark.parametrize(
    "query",
    [
        *(f"sort_by={name}" for name in ("created_at", "updated_at", "priority")),
        *(f"sort_order={name}" for name in ("asc", "desc")),
        "task_type=video_analysis",
        "status=pending",
    ],
)
def test_every_printed_parameter_of_the_list_is_taken(world: World, query: str) -> None:
    ok(world.user().client.get(f"/api/tasks?{query}"))


def test_the_list_is_20_of_the_first_page_unless_told_otherwise(world: World) -> None:
    page = ok(world.user().client.get("/api/tasks"))
    assert (page["page"], page["page_size"]) == (1, 20)
