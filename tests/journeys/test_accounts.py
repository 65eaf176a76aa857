"""认证机制, 用户管理: open an account, log in, see oneself."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api.registration import (
    DEV_ADMIN_EMAIL,
    DEV_ADMIN_PASSWORD,
    ensure_dev_admin,
    operator_token,
)
from tests.api.live import PASSWORD, LiveApi, ok, refused

NEW = {
    "email": "newuser@example.com",
    "username": "newuser",
    "password": "password123",
    "full_name": "新用户",
}


def test_a_person_registers_logs_in_and_sees_who_they_are(api: LiveApi) -> None:
    with api.client() as anonymous:
        registered = ok(anonymous.post("/api/auth/register", json=NEW))
        login = anonymous.post(
            "/api/auth/login", json={"email": NEW["email"], "password": NEW["password"]}
        )
    assert login.json()["message"] == "登录成功"
    data = ok(login)
    assert data.keys() == {"access_token", "token_type", "expires_in", "user"}
    assert data["token_type"] == "bearer"
    assert data["expires_in"] == 1800
    assert data["user"] == {
        "id": registered["id"],
        "email": "newuser@example.com",
        "username": "newuser",
        "role": "user",
    }
    with api.client(data["access_token"]) as client:
        me = ok(client.get("/api/users/me"))
    assert me["full_name"] == "新用户"
    assert (me["balance"], me["held_balance"], me["total_tasks"]) == (0, 0, 0)
    assert me["created_at"].endswith("Z")
    assert me["last_login"] >= me["created_at"]
    assert len(me["last_login"]) == len("2024-01-01T00:00:00Z")


def test_a_name_is_taken_whatever_its_case_or_form(fresh_api: LiveApi) -> None:
    first = NEW | {"email": "taken@example.com", "username": "taken_name"}
    second = NEW | {"email": "other@example.com", "username": "other"}
    with fresh_api.client() as anonymous:
        ok(anonymous.post("/api/auth/register", json=first))
        for change, code in (
            ({"email": "taken@example.com"}, "EMAIL_TAKEN"),
            ({"email": "TAKEN@Example.COM"}, "EMAIL_TAKEN"),
            ({"email": "ｔaken@example.com"}, "EMAIL_TAKEN"),
            ({"username": "Taken_Name"}, "USERNAME_TAKEN"),
            ({"username": "ｔaken_name"}, "USERNAME_TAKEN"),
        ):
            answer = anonymous.post("/api/auth/register", json=second | change)
            refused(answer, 409, code)
        ok(anonymous.post("/api/auth/register", json=second))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "not an address"}, "email"),
        ({"email": "a@b"}, "email"),
        ({"email": "a@b.c\r\nX: y"}, "email"),
        ({"email": "a" * 250 + "@b.cc"}, "email"),
        ({"username": "ab"}, "username"),
        ({"username": "has space"}, "username"),
        ({"username": "x" * 51}, "username"),
        ({"password": "12345"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"full_name": "x" * 101}, "full_name"),
        ({"role": "admin"}, "role"),
        ({"balance": 100}, "balance"),
        ({"is_active": True}, "is_active"),
    ],
)
def test_a_registration_with_one_bad_field(
    api: LiveApi, change: dict[str, Any], field: str
) -> None:
    with api.client() as anonymous:
        answer = anonymous.post("/api/auth/register", json=NEW | change)
    assert refused(answer, 422, "VALIDATION_ERROR")["field_errors"].keys() == {field}


def test_the_contracts_own_validation_sample(api: LiveApi) -> None:
    with api.client() as anonymous:
        answer = anonymous.post(
            "/api/auth/register",
            json={"email": "nonsense", "username": "someone", "password": "12345"},
        )
    assert answer.json() == {
        "success": False,
        "message": "请求参数验证失败",
        "error_code": "VALIDATION_ERROR",
        "details": {
            "field_errors": {"email": ["邮箱格式不正确"], "password": ["密码长度至少6位"]}
        },
    }


def test_who_is_unknown_wrong_or_inactive_hears_the_same(fresh_api: LiveApi) -> None:
    with fresh_api.someone() as person, fresh_api.client() as anonymous:
        fresh_api.execute(
            "INSERT INTO owl_private.credentials"
            " SELECT gen_random_uuid(), gen_random_uuid(), password_hash, 1, 'user', false"
            " FROM owl_private.credentials"
        )
        answers = [
            anonymous.post("/api/auth/login", json={"email": email, "password": password})
            for email, password in (
                (person.email, "wrong password"),
                ("nobody@example.com", PASSWORD),
            )
        ]
        fresh_api.execute("UPDATE owl_private.credentials SET is_active = false")
        answers.append(
            anonymous.post(
                "/api/auth/login", json={"email": person.email, "password": PASSWORD}
            )
        )
    for answer in answers:
        refused(answer, 401, "INVALID_CREDENTIALS")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.content == answers[0].content


def test_one_of_many_who_want_a_name_at_once_gets_it(fresh_api: LiveApi) -> None:
    forms = ["Wanted", "wanted", "WANTED", "ｗanted"] * 4

    def register(number: int) -> int:
        with fresh_api.client() as anonymous:
            body = NEW | {"username": forms[number], "email": f"{number}@example.com"}
            return anonymous.post("/api/auth/register", json=body).status_code

    with ThreadPoolExecutor(len(forms)) as pool:
        answers = list(pool.map(register, range(len(forms))))
    assert sorted(answers) == [200] + [409] * (len(forms) - 1)


def test_the_known_admin_of_the_dev_profile_is_made_once(fresh_api: LiveApi) -> None:
    assert fresh_api.call(ensure_dev_admin(fresh_api.platform)) is True
    assert fresh_api.call(ensure_dev_admin(fresh_api.platform)) is False
    login = {"email": DEV_ADMIN_EMAIL, "password": DEV_ADMIN_PASSWORD}
    with fresh_api.client() as anonymous:
        assert ok(anonymous.post("/api/auth/login", json=login))["user"]["role"] == "admin"


def test_what_starts_the_platform_may_act_whatever_became_of_the_known_admin(
    fresh_api: LiveApi,
) -> None:
    def acts_as() -> str:
        with fresh_api.client(fresh_api.call(operator_token(fresh_api.platform))) as client:
            (head,) = fresh_api.rows("SELECT max(notification_id) FROM owl_log.events")
            client.headers["Owl-Min-Position"] = str(head[0])  # nobody's request made the admin
            assert ok(client.get("/api/admin/stats"))
            return str(ok(client.get("/api/users/me"))["email"])

    assert acts_as() == DEV_ADMIN_EMAIL, "made as nobody was there"
    login = {"email": DEV_ADMIN_EMAIL, "password": DEV_ADMIN_PASSWORD}
    changed = {"current_password": DEV_ADMIN_PASSWORD, "new_password": "another-password"}
    with fresh_api.client() as anonymous:
        token = ok(anonymous.post("/api/auth/login", json=login))["access_token"]
    with fresh_api.client(token) as known, fresh_api.someone("super_admin") as other:
        ok(known.post("/api/users/change-password", json=changed))
        assert acts_as() == DEV_ADMIN_EMAIL
        (known_id,) = (
            user["id"]
            for user in ok(other.client.get("/api/admin/users"))["items"]
            if user["email"] == DEV_ADMIN_EMAIL
        )
        ok(other.client.put(f"/api/admin/users/{known_id}", json={"is_active": False}))
        assert acts_as() == other.email


def test_no_password_is_ever_in_the_log(fresh_api: LiveApi) -> None:
    with fresh_api.someone() as person:
        story = fresh_api.rows("SELECT convert_from(state, 'UTF8') FROM owl_log.events")
    text = "".join(str(row) for row in story)
    assert story
    assert PASSWORD not in text
    assert "argon2" not in text
    assert person.email not in text


def test_what_a_key_remembers_of_a_request_cannot_be_guessed_from(fresh_api: LiveApi) -> None:
    body = json.dumps(NEW).encode()
    headers = {"Idempotency-Key": "registers-once", "Content-Type": "application/json"}
    with fresh_api.client() as anonymous:
        ok(anonymous.post("/api/auth/register", content=body, headers=headers))
    kept = fresh_api.rows("SELECT request_digest FROM owl_private.receipts")
    assert kept
    assert all(bytes(row[0]) != hashlib.sha256(body).digest() for row in kept)
