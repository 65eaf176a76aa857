"""Accounts: what each of their endpoints refuses. Rows of ``docs/contract/bad-input.md``."""

import secrets
from typing import Any

import pytest

from api.registration import create_admin
from tests.api.live import PASSWORD, LiveApi, Person, field_errors, ok, refused


def fresh() -> dict[str, Any]:
    name = f"n{secrets.token_hex(6)}"
    return {"email": f"{name}@example.com", "username": name, "password": PASSWORD}


def test_login_says_the_same_to_all_who_may_not(api: LiveApi, admin: Person) -> None:
    """C2.01"""
    with api.someone() as off, api.client() as client:
        ok(admin.client.put(f"/api/admin/users/{off.user_id}", json={"is_active": False}))
        answers = [
            client.post("/api/auth/login", json={"email": email, "password": password})
            for email, password in [
                ("nobody@example.com", PASSWORD),
                (admin.email, "wrong password"),
                (off.email, PASSWORD),
                ("no address", PASSWORD),
                ("' OR 1=1 --", PASSWORD),
            ]
        ]
    for answer in answers:
        assert refused(answer, 401, "INVALID_CREDENTIALS") == {}
        assert answer.json() == answers[0].json()


def test_a_password_too_long_is_refused_before_it_is_hashed(api: LiveApi) -> None:
    """C2.01"""
    with api.client() as client:
        for password in ("x" * 129, "密" * 129):
            body = {"email": "a@example.com", "password": password}
            answer = client.post("/api/auth/login", json=body)
            assert list(field_errors(answer)) == ["password"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"role": "admin"}, "role"),
        ({"balance": 100}, "balance"),
        ({"is_active": True}, "is_active"),
        ({"id": "x"}, "id"),
        ({"email": "a@example.com\r\nBcc: b@example.com"}, "email"),
        ({"email": "a\u200bb@example.com"}, "email"),
        ({"email": "<a>@example.com"}, "email"),
        ({"email": "no address"}, "email"),
        ({"email": "a@" + "b" * 250 + ".com"}, "email"),
        ({"username": "ab"}, "username"),
        ({"username": "has space"}, "username"),
        ({"username": "..."}, "username"),
        ({"username": "p\u0430ypal"}, "username"),
        ({"username": "a\u200bbcd"}, "username"),
        ({"username": "admin"}, "username"),
        ({"username": "ＡＤＭＩＮ"}, "username"),
        ({"username": "Owl"}, "username"),
        ({"username": "管理员"}, "username"),
        ({"password": "12345"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"full_name": " \u3000"}, "full_name"),
        ({"full_name": "\u200b"}, "full_name"),
        ({"full_name": "x" * 101}, "full_name"),
    ],
)
def test_registrations(api: LiveApi, change: dict[str, Any], field: str) -> None:
    """C2.02"""
    with api.client() as client:
        answer = client.post("/api/auth/register", json=fresh() | change)
    assert list(field_errors(answer)) == [field]


def test_a_name_is_taken_in_every_case_and_form(api: LiveApi, user: Person) -> None:
    """C2.02"""
    name = user.email.partition("@")[0]
    wide = name.translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)})
    with api.client() as client:
        for change in ({"username": name.upper()}, {"username": wide}):
            answer = client.post("/api/auth/register", json=fresh() | change)
            refused(answer, 409, "USERNAME_TAKEN")
        answer = client.post("/api/auth/register", json=fresh() | {"email": user.email.upper()})
        refused(answer, 409, "EMAIL_TAKEN")


def test_ones_own_account_is_the_tokens(user: Person, admin: Person) -> None:
    """C2.03"""
    for path in ("/api/users/me", "/api/users/stats"):
        field_errors(user.client.get(path, params={"user_id": str(admin.user_id)}))
        answer = user.client.get(path, headers={"X-User-Id": str(admin.user_id)})
        assert answer.headers["cache-control"] == "no-store"
    assert ok(user.client.get("/api/users/me"))["email"] == user.email


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"balance": 1, "role": "admin", "email": "a@b.cn"}, {"balance", "role", "email"}),
        ({"id": "x", "is_active": True}, {"id", "is_active"}),
        ({}, {"body"}),
        ({"username": "root"}, {"username"}),
        ({"username": "owl_factory", "full_name": "x"}, {"username"}),
        ({"username": None, "full_name": "\u200b"}, {"full_name"}),
    ],
)
def test_profiles(user: Person, body: dict[str, Any], fields: set[str]) -> None:
    """C2.04"""
    assert field_errors(user.client.put("/api/users/me", json=body)).keys() == fields


def test_an_offices_name_that_was_given_out_may_be_kept(api: LiveApi) -> None:
    """C2.04"""
    email = "root@example.com"
    api.call(create_admin(api.platform, email=email, username="root", password=PASSWORD))
    login = {"email": email, "password": PASSWORD}
    with api.client() as client:
        token = ok(client.post("/api/auth/login", json=login))["access_token"]
    with api.client(token) as root:
        assert ok(root.put("/api/users/me", json={"username": "Root"}))["username"] == "Root"
        assert list(field_errors(root.put("/api/users/me", json={"username": "owl"})))


def test_passwords(api: LiveApi) -> None:
    """C2.05"""
    with api.someone() as person:
        path = "/api/users/change-password"

        def changed(current: str, new: str) -> Any:
            body = {"current_password": current, "new_password": new}
            return person.client.post(path, json=body)

        refused(changed("wrong password", "another one"), 401, "INVALID_CREDENTIALS")
        for new in (PASSWORD, "12345", "x" * 129):
            assert list(field_errors(changed(PASSWORD, new))) == ["new_password"]
        token = ok(changed(PASSWORD, "another one"))["access_token"]
        refused(person.client.get("/api/users/me"), 401, "INVALID_CREDENTIALS")
        with api.client(token) as again:
            ok(again.get("/api/users/me"))
