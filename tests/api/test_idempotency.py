"""An idempotency key: the same request gets the same answer, and nobody else's."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import nkeys
import psycopg
import pytest

from api.passwords import Passwords
from tests.api.live import PASSWORD, LiveApi, Person, field_errors, ok, refused
from tests.api.test_policy import routes_of

FREE = {"title": "x", "task_type": "test"}
CHANGE = "/api/users/change-password"
REHASHED = "UPDATE owl_private.credentials SET password_hash = %s"
OTHER_PASSWORD = f"{PASSWORD} 2"


class Case(NamedTuple):
    """One request that succeeds: who asks, where, with which body."""

    client: httpx.Client
    path: str
    body: dict[str, Any] | None = None


def keyed(case: Case, key: str) -> httpx.Response:
    return case.client.post(case.path, json=case.body, headers={"Idempotency-Key": key})


def cases(
    user: Person, other: Person, admin: Person, anonymous: httpx.Client
) -> dict[str, Case]:
    """Every POST route but for those that order rebuilds, which answer nothing of their own."""
    name = f"u{uuid4().hex[:12]}"
    new = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
    login = {"email": user.email, "password": PASSWORD}
    change = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    ended = ok(user.client.post("/api/tasks", json=FREE))["id"]
    ok(user.client.post(f"/api/tasks/{ended}/cancel"))
    waiting = ok(user.client.post("/api/tasks", json=FREE))["id"]
    twice = {"amount": 1, "max_uses": 2}
    code = ok(admin.client.post("/api/recharge/codes", json=twice))["codes"][0]
    server = ok(admin.client.post("/api/gpu/servers", json={"name": "one"}))
    own = f"/api/gpu/servers/{server['id']}"
    key = nkeys.from_seed(nkeys.encode_seed(uuid4().bytes * 2, nkeys.PREFIX_BYTE_USER))
    enrolment = {"token": server["enrolment_token"], "public_key": key.public_key.decode()}
    return {
        "/api/auth/register": Case(anonymous, "/api/auth/register", new),
        "/api/auth/login": Case(anonymous, "/api/auth/login", login),
        "/api/tasks": Case(user.client, "/api/tasks", FREE),
        "/api/tasks/{task_id:uuid}/cancel": Case(user.client, f"/api/tasks/{waiting}/cancel"),
        "/api/tasks/{task_id:uuid}/retry": Case(user.client, f"/api/tasks/{ended}/retry"),
        "/api/recharge/redeem": Case(
            user.client, "/api/recharge/redeem", {"code": code["code"]}
        ),
        "/api/recharge/codes": Case(
            admin.client, "/api/recharge/codes", {"amount": 1, "batch_size": 3}
        ),
        "/api/recharge/codes/{code_id:uuid}/reveal": Case(
            admin.client, f"/api/recharge/codes/{code['id']}/reveal"
        ),
        "/api/recharge/codes/{code_id:uuid}/revoke": Case(
            admin.client, f"/api/recharge/codes/{code['id']}/revoke"
        ),
        "/api/gpu/servers/enroll": Case(anonymous, "/api/gpu/servers/enroll", enrolment),
        "/api/gpu/servers": Case(admin.client, "/api/gpu/servers", {"name": "two"}),
        "/api/gpu/servers/{server_id:uuid}/enrolment-token": Case(
            admin.client, f"{own}/enrolment-token"
        ),
        "/api/gpu/servers/{server_id:uuid}/drain": Case(admin.client, f"{own}/drain"),
        "/api/gpu/servers/{server_id:uuid}/resume": Case(admin.client, f"{own}/resume"),
        "/api/users/change-password": Case(other.client, CHANGE, change),
    }


@pytest.fixture
def anonymous(api: LiveApi) -> Iterator[httpx.Client]:
    with api.client() as client:
        yield client


def test_every_post_is_answered_twice_with_the_same_words(
    api: LiveApi, admin: Person, anonymous: httpx.Client
) -> None:
    posts = {
        route.removeprefix("POST ")
        for route in routes_of(api)
        if route.startswith("POST ") and "/projections/" not in route
    }
    with api.someone() as user, api.someone() as other:
        found = cases(user, other, admin, anonymous)
        assert found.keys() == posts
        firsts, began = {}, time.time()
        for route, case in found.items():
            firsts[route] = keyed(case, f"key of {route}".replace(" ", "-"))
            ok(firsts[route])
        api.until(lambda: time.time() > began + 1.1)  # expiries are told in seconds
        for route, case in found.items():
            first, again = firsts[route], keyed(case, f"key of {route}".replace(" ", "-"))
            assert again.json() == first.json(), route
            assert "idempotent-replay" not in first.headers, route
            assert again.headers["idempotent-replay"] == "true", route
            assert again.headers.get("owl-position") == first.headers.get("owl-position")


def test_a_key_is_for_one_request_wherever_it_goes(api: LiveApi, user: Person) -> None:
    tasks = [ok(user.client.post("/api/tasks", json=FREE))["id"] for _ in range(2)]
    first, second = (Case(user.client, f"/api/tasks/{task}/cancel") for task in tasks)
    ok(keyed(first, "one-route"))
    for other in (second, Case(user.client, "/api/tasks", FREE)):
        refused(keyed(other, "one-route"), 422, "IDEMPOTENCY_MISMATCH")
    ok(keyed(first._replace(path=first.path + "/"), "one-route"))
    page = ok(user.client.get("/api/tasks", params={"status": "pending"}))
    assert tasks[1] in {item["id"] for item in page["items"]}


def test_strangers_with_one_key_are_strangers(api: LiveApi, anonymous: httpx.Client) -> None:
    def registered(name: str, password: str = PASSWORD) -> httpx.Response:
        body = {"email": f"{name}@example.com", "username": name, "password": password}
        return keyed(Case(anonymous, "/api/auth/register", body), "everybodys-key")

    one, other = (ok(registered(name))["id"] for name in ("stranger1", "stranger2"))
    assert one != other
    assert ok(registered("stranger1"))["id"] == one
    refused(registered("stranger1", "another password"), 422, "IDEMPOTENCY_MISMATCH")
    login = {"email": "stranger1@example.com", "password": PASSWORD}
    ok(keyed(Case(anonymous, "/api/auth/login", login), "key-of-the-login"))
    wrong = login | {"password": "wrong password"}
    answer = keyed(Case(anonymous, "/api/auth/login", wrong), "key-of-the-login")
    refused(answer, 401, "INVALID_CREDENTIALS")


@pytest.mark.parametrize("key", ["", "x" * 256, "with space", "tab\there"])
def test_a_key_that_is_none_is_named_before_anything_is_done(user: Person, key: str) -> None:
    faults = field_errors(keyed(Case(user.client, "/api/tasks", FREE), key))
    assert "255" in faults["Idempotency-Key"][0]


def test_two_keys_are_none(api: LiveApi, user: Person) -> None:
    headers = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    answer = user.client.post("/api/tasks", json=FREE, headers=headers)
    assert "Idempotency-Key" in field_errors(answer)


def test_a_key_that_was_forgotten_may_be_used_again(fresh_api: LiveApi) -> None:
    with fresh_api.someone("admin") as boss:
        for case in (
            Case(boss.client, "/api/recharge/codes", {"amount": 1}),
            Case(boss.client, "/api/gpu/servers", {"name": "one"}),
            Case(boss.client, "/api/tasks", FREE),
        ):
            first = ok(keyed(case, "used-again"))
            fresh_api.execute("DELETE FROM owl_private.receipts")  # as after a day
            answer = keyed(case, "used-again")
            assert "idempotent-replay" not in answer.headers
            assert ok(answer) != first
            fresh_api.execute("DELETE FROM owl_private.receipts")


def test_a_refusal_is_not_remembered(fresh_api: LiveApi) -> None:
    with fresh_api.someone("admin") as boss, fresh_api.someone() as person:
        order = Case(person.client, "/api/tasks", {"title": "x", "task_type": "video_analysis"})
        order.body["config"] = {"video_url": "https://example.com/a.mp4"}  # type: ignore[index]
        refused(keyed(order, "poor-at-first"), 400, "INSUFFICIENT_BALANCE")
        path = f"/api/admin/users/{person.user_id}"
        ok(boss.client.put(path, json={"balance": 100}))
        ok(keyed(order, "poor-at-first"))


class Changed(NamedTuple):
    """Somebody whose password was changed under a key, and what came of it."""

    person: Person
    change: Case
    answer: dict[str, Any]


@pytest.fixture
def changed(api: LiveApi) -> Iterator[Changed]:
    with api.someone() as person:
        body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
        change = Case(person.client, CHANGE, body)
        yield Changed(person, change, ok(keyed(change, "changes-once")))


def test_a_lost_answer_about_a_new_password_is_had_again(
    api: LiveApi, changed: Changed
) -> None:
    assert ok(keyed(changed.change, "changes-once")) == changed.answer
    with api.client(changed.answer["access_token"]) as signed_in:
        ok(signed_in.get("/api/users/me"))
        again = changed.change._replace(client=signed_in)
        assert ok(keyed(again, "changes-once")) == changed.answer
        ok(signed_in.get("/api/users/me"))


def test_a_void_token_gets_nothing_but_that(api: LiveApi, changed: Changed) -> None:
    person, change, _ = changed
    refused(person.client.post(CHANGE, json=change.body), 401, "INVALID_CREDENTIALS")
    refused(keyed(change, "another-key"), 401, "INVALID_CREDENTIALS")
    for current, new in (
        (PASSWORD, "a guess of it"),
        (OTHER_PASSWORD, "a third password"),
        ("a guess of it", PASSWORD),
    ):
        body = {"current_password": current, "new_password": new}
        for key in ("changes-once", "another-key"):
            answer = keyed(change._replace(body=body), key)
            assert answer.status_code in {401, 429}, answer.text
    for path in ("/api/tasks", "/api/recharge/redeem"):
        answer = keyed(Case(person.client, path, FREE), "changes-once")
        refused(answer, 401, "INVALID_CREDENTIALS")
    refused(person.client.get("/api/users/me"), 401, "INVALID_CREDENTIALS")


def test_guesses_under_a_key_are_counted_like_any(api: LiveApi, changed: Changed) -> None:
    for number in range(6):
        body = {"current_password": PASSWORD, "new_password": f"a guess {number}"}
        answer = keyed(changed.change._replace(body=body), "changes-once")
    refused(answer, 429, "RATE_LIMITED")


def test_a_password_hashed_at_another_cost_is_hashed_anew_at_the_next_login(
    fresh_api: LiveApi, anonymous: httpx.Client
) -> None:
    def hashes() -> list[str]:
        kept = fresh_api.rows("SELECT password_hash FROM owl_private.credentials")
        return [row[0] for row in kept]

    with fresh_api.someone() as person, fresh_api.client() as client:
        login = {"email": person.email, "password": PASSWORD}
        made_here = hashes()
        ok(client.post("/api/auth/login", json=login))
        assert hashes() == made_here
        dear = Passwords()
        with psycopg.connect(fresh_api.database_url) as connection:
            connection.execute(REHASHED, (fresh_api.call(dear.hash(PASSWORD)),))
        dear.close()
        refused(
            client.post("/api/auth/login", json=login | {"password": "wrong"}),
            401,
            "INVALID_CREDENTIALS",
        )
        assert "m=19456" in hashes()[0]
        ok(client.post("/api/auth/login", json=login))
        assert "m=19456" not in hashes()[0]
        ok(client.post("/api/auth/login", json=login))
        ok(person.client.get("/api/users/me"))
