"""用户管理: change the profile, the password; see the totals."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from tests.api.live import PASSWORD, LiveApi, Person, ok, refused
from tests.journeys.farm import Server
from tests.journeys.test_recharge import issued

PROFILE = "/api/users/me"
CHANGE_PASSWORD = "/api/users/change-password"
NEW_PASSWORD = "another password 1"
VIDEO = {
    "title": "x",
    "task_type": "video_analysis",
    "config": {"video_url": "https://example.com/video.mp4"},
}


def test_a_profile_is_changed_in_part_or_whole(api: LiveApi) -> None:
    with api.someone() as person:
        name = f"{person.email[:10]}.new"
        answer = person.client.put(PROFILE, json={"full_name": "新的姓名"})
        assert answer.json()["message"] == "用户信息已更新"
        assert ok(answer)["full_name"] == "新的姓名"
        changed = ok(person.client.put(PROFILE, json={"username": name}))
        assert (changed["username"], changed["full_name"]) == (name, "新的姓名")
        assert changed == ok(person.client.get(PROFILE))


def test_a_username_given_up_is_free_and_a_taken_one_is_not(api: LiveApi) -> None:
    with api.someone() as one, api.someone() as other:
        former = ok(one.client.get(PROFILE))["username"]
        for form in (former, former.upper()):
            refused(other.client.put(PROFILE, json={"username": form}), 409, "USERNAME_TAKEN")
        ok(one.client.put(PROFILE, json={"username": former.upper()}))  # one's own, otherwise
        ok(one.client.put(PROFILE, json={"username": f"{former}_2"}))
        assert ok(other.client.put(PROFILE, json={"username": former}))["username"] == former


def test_one_of_many_who_want_to_be_called_so_is(api: LiveApi) -> None:
    with api.someone() as a, api.someone() as b, api.someone() as c:
        forms = ("Wanted_Name", "wanted_name", "ｗanted_name")

        def rename(person: Person, form: str) -> int:
            return person.client.put(PROFILE, json={"username": form}).status_code

        with ThreadPoolExecutor(3) as pool:
            statuses = list(pool.map(rename, (a, b, c), forms))
        assert sorted(statuses) == [200, 409, 409]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"full_name": None, "username": None}, "body"),
        ({"full_name": "x" * 101}, "full_name"),
        ({"full_name": "a\u202eb"}, "full_name"),
        ({"username": "has space"}, "username"),
        ({"username": "ab"}, "username"),
        ({"email": "other@example.com"}, "email"),
        ({"role": "admin"}, "role"),
        ({"balance": 1000}, "balance"),
        ({"id": "x"}, "id"),
        ({"is_active": True}, "is_active"),
    ],
)
def test_nothing_but_names_can_be_changed(
    user: Person, body: dict[str, Any], field: str
) -> None:
    answer = user.client.put(PROFILE, json=body)
    assert field in refused(answer, 422, "VALIDATION_ERROR")["field_errors"]


def test_a_new_password_ends_every_older_token_and_gives_another(api: LiveApi) -> None:
    with api.someone() as person:
        body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        answer = ok(person.client.post(CHANGE_PASSWORD, json=body))
        assert (answer["token_type"], answer["expires_in"]) == ("bearer", 1800)
        refused(person.client.get(PROFILE), 401, "INVALID_CREDENTIALS")
        with api.client(answer["access_token"]) as client:
            assert ok(client.get(PROFILE))["email"] == person.email
        with api.client() as anonymous:
            login = {"email": person.email, "password": PASSWORD}
            refused(anonymous.post("/api/auth/login", json=login), 401, "INVALID_CREDENTIALS")
            ok(anonymous.post("/api/auth/login", json=login | {"password": NEW_PASSWORD}))


def test_of_many_changes_at_once_one_wins(api: LiveApi) -> None:
    with api.someone() as person:

        def change(number: int) -> int:
            with api.client(person.token) as client:
                body = {"current_password": PASSWORD, "new_password": f"{NEW_PASSWORD}{number}"}
                return client.post(CHANGE_PASSWORD, json=body).status_code

        with ThreadPoolExecutor(4) as pool:
            statuses = sorted(pool.map(change, range(4)))
        assert statuses == [200, 401, 401, 401]


def test_a_wrong_current_password_changes_nothing(api: LiveApi) -> None:
    with api.someone() as person:
        body = {"current_password": "not it at all", "new_password": NEW_PASSWORD}
        answer = person.client.post(CHANGE_PASSWORD, json=body)
        refused(answer, 401, "INVALID_CREDENTIALS")
        assert answer.json()["message"] == "当前密码不正确，请检查后重试"
        ok(person.client.get(PROFILE))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"new_password": "12345"}, "new_password"),
        ({"new_password": PASSWORD}, "new_password"),
        ({"new_password": "x" * 129}, "new_password"),
        ({"current_password": "x" * 129}, "current_password"),
        ({"current_password": None}, "current_password"),
    ],
)
def test_a_password_that_cannot_be_one(
    user: Person, change: dict[str, Any], field: str
) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD} | change
    answer = user.client.post(CHANGE_PASSWORD, json=body)
    assert field in refused(answer, 422, "VALIDATION_ERROR")["field_errors"]


def test_an_auditor_can_change_their_own_password(api: LiveApi) -> None:
    with api.someone("auditor") as person:
        body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        ok(person.client.post(CHANGE_PASSWORD, json=body))


def test_totals_count_what_was_done_and_paid(api: LiveApi, admin: Person) -> None:
    server = Server(api, admin, name="totals")
    server.enrol()
    server.beat()
    with api.someone() as person:
        nothing = ok(person.client.get("/api/users/stats"))
        assert nothing == {
            "total_tasks": 0,
            "completed_tasks": 0,
            "failed_tasks": 0,
            "cancelled_tasks": 0,
            "total_cost": 0,
            "current_balance": 0,
            "last_task_date": None,
        }
        (code,) = issued(admin, batch_size=1)
        ok(person.client.post("/api/recharge/redeem", json={"code": code}))
        tasks = [UUID(ok(person.client.post("/api/tasks", json=VIDEO))["id"]) for _ in range(3)]
        ok(person.client.post(f"/api/tasks/{tasks[0]}/cancel"))
        for task_id in tasks[1:]:
            server.take(task_id)
        server.end(tasks[1], "completed", run_ms=60_000)
        server.end(tasks[2], "failed", run_ms=120_000, reason="user_error")
        totals = ok(person.client.get("/api/users/stats"))
        assert totals["total_tasks"] == 3
        assert [totals[f"{what}_tasks"] for what in ("completed", "failed", "cancelled")] == [
            1,
            1,
            1,
        ]
        assert (totals["total_cost"], totals["current_balance"]) == (3.15, 96.85)
        assert totals["last_task_date"].endswith("Z")
