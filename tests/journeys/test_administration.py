"""系统管理: an admin changes users and the configuration."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.api.live import PASSWORD, LiveApi, Person, ok, refused
from tests.journeys.test_recharge import issued

FREE = {"title": "x", "task_type": "test"}
SEED_BODY = {"role": "admin", "is_active": False, "balance": 200.0}


def path_of(person: Person) -> str:
    return f"/api/admin/users/{person.user_id}"


def test_a_user_is_changed_as_the_contract_prints_it(api: LiveApi, admin: Person) -> None:
    with api.someone() as person:
        changed = ok(admin.client.put(path_of(person), json=SEED_BODY))
        assert (changed["role"], changed["is_active"], changed["balance"]) == (
            "admin",
            False,
            200,
        )
        assert changed["id"] == str(person.user_id)
        refused(person.client.get("/api/users/me"), 401, "INVALID_CREDENTIALS")


def test_a_user_switched_off_is_out_at_once_and_in_again_when_switched_on(
    api: LiveApi, admin: Person
) -> None:
    login = {"password": PASSWORD}
    with api.someone() as person, api.client() as anonymous:
        login |= {"email": person.email}
        ok(admin.client.put(path_of(person), json={"is_active": False}))
        refused(person.client.get("/api/users/me"), 401, "INVALID_CREDENTIALS")
        refused(anonymous.post("/api/auth/login", json=login), 401, "INVALID_CREDENTIALS")
        ok(admin.client.put(path_of(person), json={"is_active": True}))
        refused(person.client.get("/api/users/me"), 401, "INVALID_CREDENTIALS")
        ok(anonymous.post("/api/auth/login", json=login))


def test_a_balance_is_set_as_a_recorded_difference(api: LiveApi, admin: Person) -> None:
    with api.someone() as person:
        (code,) = issued(admin, batch_size=1)
        ok(person.client.post("/api/recharge/redeem", json={"code": code}))
        body = {"balance": "42.50", "reason": "退款"}
        assert ok(admin.client.put(path_of(person), json=body))["balance"] == 42.5
        assert person.balance() == 42.5
    facts = api.rows(
        "SELECT fact ->> 'delta_fen', fact ->> 'reason', actor FROM owl_log.story"
        " WHERE tag = 'wallet.balance_adjusted/1' ORDER BY position DESC LIMIT 1"
    )
    assert facts == [("-5750", "退款", f"admin:{admin.user_id}")]


def test_a_balance_beyond_ten_million_can_be_set_as_many_codes_can_give_it(
    api: LiveApi, admin: Person
) -> None:
    with api.someone() as person:
        for balance in (10_000_000.01, 999_999_999.99, 0):
            ok(admin.client.put(path_of(person), json={"balance": balance}))
            assert person.balance() == balance


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"reason": "no change"}, "body"),
        ({"role": "root"}, "role"),
        ({"is_active": "false"}, "is_active"),
        ({"is_active": 0}, "is_active"),
        ({"balance": -0.01}, "balance"),
        ({"balance": 1.001}, "balance"),
        ({"balance": "1e3"}, "balance"),
        ({"balance": "NaN"}, "balance"),
        ({"balance": 1_000_000_000}, "balance"),
        ({"email": "x@example.com"}, "email"),
        ({"balance": 1, "reason": "x" * 201}, "reason"),
    ],
)
def test_a_change_that_cannot_be(
    user: Person, admin: Person, body: dict[str, Any], field: str
) -> None:
    answer = admin.client.put(path_of(user), json=body)
    assert field in refused(answer, 422, "VALIDATION_ERROR")["field_errors"]


def test_who_is_nobody_cannot_be_changed(admin: Person) -> None:
    answer = admin.client.put(f"/api/admin/users/{uuid4()}", json={"role": "user"})
    refused(answer, 404, "RESOURCE_NOT_FOUND")


def test_the_last_admin_stays_and_nobody_ends_their_own_office(fresh_api: LiveApi) -> None:
    with fresh_api.someone("admin") as only:
        for body in ({"role": "user"}, {"is_active": False}):
            answer = only.client.put(path_of(only), json=body)
            refused(answer, 409, "INVALID_STATE")
            assert "最后一位管理员" in answer.json()["message"]
        with fresh_api.someone("admin") as second:
            answer = only.client.put(path_of(only), json={"role": "user"})
            refused(answer, 409, "INVALID_STATE")
            english = {"Accept-Language": "en"}
            answer = only.client.put(path_of(only), json={"role": "user"}, headers=english)
            assert "themselves" in answer.json()["message"]
            ok(only.client.put(path_of(second), json={"role": "user"}))


def test_of_two_admins_who_demote_each_other_one_stays(fresh_api: LiveApi) -> None:
    with fresh_api.someone("admin") as one, fresh_api.someone("admin") as other:

        def demote(pair: tuple[Person, Person]) -> int:
            actor, target = pair
            return actor.client.put(path_of(target), json={"role": "user"}).status_code

        with ThreadPoolExecutor(2) as pool:
            statuses = sorted(pool.map(demote, ((one, other), (other, one))))
        assert statuses[0] == 200
        assert statuses[1] in {401, 403}, "the other was no admin any more"
        left = fresh_api.rows("SELECT 1 FROM owl_private.credentials WHERE role = 'admin'")
        assert len(left) == 1


def test_only_a_super_admin_makes_a_super_admin(api: LiveApi, admin: Person) -> None:
    with api.someone() as person, api.someone("super_admin") as ruler:
        refused(
            admin.client.put(path_of(person), json={"role": "super_admin"}),
            403,
            "ACCESS_DENIED",
        )
        refused(
            admin.client.put(path_of(ruler), json={"is_active": False}), 403, "ACCESS_DENIED"
        )
        promoted = ok(ruler.client.put(path_of(person), json={"role": "super_admin"}))
        assert promoted["role"] == "super_admin"
        ok(person.client.get("/api/users/me"))  # who gains keeps the token


def test_a_balance_never_falls_below_what_is_held(api: LiveApi, admin: Person) -> None:
    with api.someone() as person:
        (code,) = issued(admin, batch_size=1)
        ok(person.client.post("/api/recharge/redeem", json={"code": code}))
        video = {"video_url": "https://example.com/video.mp4"}
        order = {"title": "x", "task_type": "video_analysis", "config": video}
        ok(person.client.post("/api/tasks", json=order))
        answer = admin.client.put(path_of(person), json={"balance": 10.49})
        refused(answer, 409, "INVALID_STATE")
        assert "冻结" in answer.json()["message"]
        assert ok(admin.client.put(path_of(person), json={"balance": 10.5}))["balance"] == 10.5


def test_statistics_tell_revenue_from_what_is_still_owed(fresh_api: LiveApi) -> None:
    with fresh_api.someone("admin") as boss, fresh_api.someone() as person:
        (code,) = issued(boss, batch_size=1)
        ok(person.client.post("/api/recharge/redeem", json={"code": code}))
        ok(boss.client.put(path_of(person), json={"balance": 150}))
        for _ in range(2):
            task = ok(person.client.post("/api/tasks", json=FREE))["id"]
        ok(person.client.post(f"/api/tasks/{task}/cancel"))
        assert ok(boss.client.get("/api/admin/stats")) == {
            "total_users": 2,
            "active_users": 2,
            "total_tasks": 2,
            "pending_tasks": 1,
            "running_tasks": 0,
            "completed_tasks": 0,
            "failed_tasks": 0,
            "cancelled_tasks": 1,
            "total_gpu_servers": 0,
            "online_gpu_servers": 0,
            "total_revenue": 0,
            "total_recharged": 100,
            "total_granted": 50,
            "outstanding_balance": 150,
        }


def test_users_are_listed_by_role_and_activity(fresh_api: LiveApi) -> None:
    with (
        fresh_api.someone("admin") as boss,
        fresh_api.someone() as one,
        fresh_api.someone() as two,
    ):
        ok(boss.client.put(path_of(one), json={"is_active": False}))

        def listed(query: str) -> list[str]:
            page = ok(boss.client.get(f"/api/admin/users?{query}"))
            assert page["total"] >= len(page["items"])
            return [user["email"] for user in page["items"]]

        assert listed("") == [two.email, one.email, boss.email]
        assert listed("page=1&page_size=20&role=user&is_active=true") == [two.email]
        assert listed("role=admin") == [boss.email]
        assert listed("is_active=false") == [one.email]
        assert listed("role=auditor") == []
        assert listed("page=2&page_size=2") == [boss.email]
        shown = ok(boss.client.get("/api/admin/users?page_size=1"))["items"][0]
        assert shown == ok(two.client.get("/api/users/me"))
        for query, field in (("role=root", "role"), ("is_active=perhaps", "is_active")):
            answer = boss.client.get(f"/api/admin/users?{query}")
            assert field in refused(answer, 422, "VALIDATION_ERROR")["field_errors"]
