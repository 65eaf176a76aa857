"""Farm, money, administration and logs: rows of ``docs/contract/bad-input.md``."""

from typing import Any
from uuid import uuid4

import pytest

from tests.api.live import LiveApi, Person, field_errors, ok, refused

LINES = r"""
    INSERT INTO owl_log.system_log
        (logged_at, level, program, logger, event, request_id, message, fields)
    VALUES
        (now(), 'ERROR', 'work', 'a', 'odd', NULL,
            '%_\ '' OR 1=1 -- $$ [a-z] ' || repeat('猫', 100), '{}'),
        (now(), 'ERROR', 'work', 'a', 'plain', NULL, 'a plain one', '{}');
    INSERT INTO owl_log.system_log_counts
    SELECT (logged_at AT TIME ZONE 'UTC')::date, level, count(*) FROM owl_log.system_log
    GROUP BY 1, 2
"""


def test_servers(api: LiveApi, user: Person, admin: Person) -> None:
    """C2.12"""
    for path in ("", "/status"):
        for server_id in (uuid4(), "nope", "%00", "1"):
            answer = user.client.get(f"/api/gpu/servers/{server_id}{path}")
            refused(answer, 404, "RESOURCE_NOT_FOUND")
    for path in ("/api/gpu/servers", "/api/gpu/cluster/overview"):
        assert list(field_errors(user.client.get(f"{path}?x=1"))) == ["x"]
        with api.client() as nobody:
            refused(nobody.get(path), 401, "INVALID_CREDENTIALS")
    room = {"name": "\u200b", "max_concurrent_tasks": 65}
    assert field_errors(admin.client.post("/api/gpu/servers", json=room)).keys() == room.keys()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 1001}, "batch_size"),
        ({"max_uses": 0}, "max_uses"),
        ({"max_uses": 10_001}, "max_uses"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"amount": 100_000.01}, "amount"),
        ({"amount": 100_000, "batch_size": 1_000}, "amount"),
        ({"amount": 100_000, "batch_size": 10, "max_uses": 11}, "amount"),
        ({"amount": 1_000.01, "max_uses": 10_000}, "amount"),
        ({"description": "\u200b"}, "description"),
        ({"code": "OWL-AAAA-BBBB-CCCC"}, "code"),
    ],
)
def test_batches(admin: Person, change: dict[str, Any], field: str) -> None:
    """C2.13"""
    answer = admin.client.post("/api/recharge/codes", json={"amount": 1} | change)
    assert list(field_errors(answer)) == [field]


def test_one_request_makes_so_much_money_and_no_more(admin: Person) -> None:
    """C2.13"""
    most = {"amount": "1000.00", "batch_size": 2, "max_uses": 5_000}
    ok(admin.client.post("/api/recharge/codes", json=most))
    more = most | {"amount": "1000.01"}
    for language, told in (
        ("zh", "一批充值码最多可兑出 10,000,000.00 元"),
        ("en", "The codes of one request may pay out 10,000,000.00 yuan together"),
    ):
        headers = {"Accept-Language": language}
        answer = admin.client.post("/api/recharge/codes", json=more, headers=headers)
        (sentence,) = field_errors(answer)["amount"]
        assert sentence.startswith(told)
    many = {"amount": "100000", "batch_size": 1_000, "max_uses": 0}
    answer = admin.client.post("/api/recharge/codes", json=many)
    assert field_errors(answer).keys() == {"amount", "max_uses"}


def test_codes_are_made_by_admins_once_for_a_key(user: Person, admin: Person) -> None:
    """C2.13"""
    body, key = {"amount": 1, "batch_size": 3}, {"Idempotency-Key": f"k-{uuid4()}"}
    refused(user.client.post("/api/recharge/codes", json=body), 403, "ACCESS_DENIED")
    first = ok(admin.client.post("/api/recharge/codes", json=body, headers=key))
    assert ok(admin.client.post("/api/recharge/codes", json=body, headers=key)) == first
    listed = ok(admin.client.get("/api/recharge/codes"))["items"]
    whole = {code["code"] for code in first["codes"]}
    assert whole.isdisjoint(code["code"] for code in listed)


@pytest.mark.parametrize(
    "code",
    ["", "x", "OWL", "OWL-AAAA-BBBB", "OWL-AAAA-BBBB-CCC!", "'; DROP TABLE--", "A" * 65, "猫"],
)
def test_codes_that_are_none(user: Person, code: str) -> None:
    """C2.14"""
    answer = user.client.post("/api/recharge/redeem", json={"code": code})
    assert list(field_errors(answer)) == ["code"]


def test_a_code_is_read_in_any_case_and_with_any_dashes(user: Person, admin: Person) -> None:
    """C2.14"""
    issued = ok(admin.client.post("/api/recharge/codes", json={"amount": 1, "batch_size": 3}))
    plain, spaced, lower = (code["code"] for code in issued["codes"])
    for form in (plain.replace("-", ""), f" {spaced} ", lower.lower()):
        ok(user.client.post("/api/recharge/redeem", json={"code": form}))
    again = user.client.post("/api/recharge/redeem", json={"code": plain})
    refused(again, 409, "CODE_ALREADY_REDEEMED")
    absent = user.client.post("/api/recharge/redeem", json={"code": "OWL-2222-2222-2222"})
    refused(absent, 404, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize(
    "path",
    ["/api/recharge/codes", "/api/admin/stats", "/api/admin/users", "/api/admin/config",
     "/api/logs/system", "/api/logs/user-actions", "/api/logs/download?log_type=system"],
)  # fmt: skip
def test_what_is_for_operators(api: LiveApi, user: Person, admin: Person, path: str) -> None:
    """C2.15 C2.16"""
    with api.client() as nobody:
        refused(nobody.get(path), 401, "INVALID_CREDENTIALS")
    refused(user.client.get(path), 403, "ACCESS_DENIED")
    answer = admin.client.get(path)
    assert answer.status_code == 200
    for secret in ("argon2", "password_hash", "subject_key", "sealed"):
        assert secret not in answer.text


def test_records_are_ones_own(api: LiveApi, admin: Person, user: Person) -> None:
    """C2.15"""
    ok(user.client.get("/api/recharge/records"))
    with api.someone() as other:
        assert ok(other.client.get("/api/recharge/records"))["items"] == []
    query = {"user_id": str(user.user_id)}
    assert list(field_errors(admin.client.get("/api/recharge/records", params=query)))


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"body"}),
        ({"role": None, "reason": "x"}, {"body"}),
        ({"role": "owner"}, {"role"}),
        ({"is_active": 1}, {"is_active"}),
        ({"balance": -0.01}, {"balance"}),
        ({"balance": 0.001}, {"balance"}),
        ({"balance": "1e3"}, {"balance"}),
        ({"balance": "１"}, {"balance"}),
        ({"balance": 1_000_000_000}, {"balance"}),
        ({"email": "a@b.cn", "password": "x"}, {"email", "password"}),
        ({"role": "admin", "reason": "\u200b"}, {"reason"}),
    ],
)
def test_changes_of_users(admin: Person, user: Person, body: Any, fields: set[str]) -> None:
    """C2.17"""
    answer = admin.client.put(f"/api/admin/users/{user.user_id}", json=body)
    assert field_errors(answer).keys() == fields


def test_nobody_ends_their_own_office(admin: Person) -> None:
    """C2.17"""
    for body in ({"role": "user"}, {"is_active": False}):
        answer = admin.client.put(f"/api/admin/users/{admin.user_id}", json=body)
        refused(answer, 409, "INVALID_STATE")
    answer = admin.client.put(f"/api/admin/users/{uuid4()}", json={"role": "user"})
    refused(answer, 404, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"body"}),
        ({"nope": 1}, {"nope"}),
        ({"max_concurrent_tasks_per_user": 0}, {"max_concurrent_tasks_per_user"}),
        ({"max_concurrent_tasks_per_user": 1001}, {"max_concurrent_tasks_per_user"}),
        ({"default_task_timeout": 9}, {"default_task_timeout"}),
        ({"default_task_timeout": 86_401}, {"default_task_timeout"}),
        ({"maintenance_mode": "no"}, {"maintenance_mode"}),
        ({"prices_per_minute": {}}, {"prices_per_minute"}),
        ({"prices_per_minute": {"Bad Name": 1}}, {"prices_per_minute"}),
        ({"prices_per_minute": {"test": "+1"}}, {"prices_per_minute"}),
        ({"default_task_timeout": 60, "requeue_budget": 21}, {"requeue_budget"}),
    ],
)
def test_configurations(admin: Person, body: Any, fields: set[str]) -> None:
    """C2.18"""
    before = ok(admin.client.get("/api/admin/config"))
    assert field_errors(admin.client.put("/api/admin/config", json=body)).keys() == fields
    assert ok(admin.client.get("/api/admin/config")) == before


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("system?search=" + "x" * 101, {"search"}),
        ("system?start_date=2024-01-02&end_date=2024-01-01", {"end_date"}),
        ("system?start_date=1999-01-01&end_date=9999-01-01", {"start_date", "end_date"}),
        ("system?start_date=2024-1-1", {"start_date"}),
        ("system?start_date=20240101", {"start_date"}),
        ("system?level=error&page_size=201", {"level", "page_size"}),
        ("user-actions?user_id=nobody&end_date=x", {"user_id", "end_date"}),
        ("download?log_type=..%2fetc", {"log_type"}),
        ("download?log_type=%2500", {"log_type"}),
        ("download?log_type=system&date=2024-02-30", {"date"}),
        ("download?log_type=system&date=..%2f..", {"date"}),
        ("download?log_type=system&date=9999-01-01", {"date"}),
        ("download?log_type=system&date=2024-01-01&end_date=2024-01-02", {"date"}),
        (
            "download?log_type=tasks&search=x&level=ERROR&date=9999-01-01",
            {"search", "level", "date"},
        ),
        ("download?log_type=system&start_date=2024-01-01&end_date=2024-12-31", {"end_date"}),
    ],
)
def test_questions_to_the_logs(admin: Person, query: str, fields: set[str]) -> None:
    """C2.19 C2.21"""
    assert field_errors(admin.client.get(f"/api/logs/{query}")).keys() == fields


@pytest.fixture(scope="module")
def odd_line(api: LiveApi) -> str:
    """Its event; beside it stands a line that the searches would find as patterns."""
    api.execute(LINES)
    return "odd"


@pytest.mark.parametrize(
    "search", ["%", "_", "\\", "%_\\", "' OR 1=1 --", "$$", "[a-z]", "猫" * 100]
)
def test_a_search_is_literal(admin: Person, odd_line: str, search: str) -> None:
    """C2.19"""
    found = ok(admin.client.get("/api/logs/system", params={"search": search}))
    assert [line["event"] for line in found["items"]] == [odd_line]
    assert found["total"] == 1


def test_the_log_of_another_users_task_is_nowhere(api: LiveApi, user: Person) -> None:
    """C2.20"""
    with api.someone() as other:
        order = {"title": "x", "task_type": "test"}
        task_id = ok(other.client.post("/api/tasks", json=order))["id"]
    for absent in (task_id, uuid4(), "nope"):
        refused(user.client.get(f"/api/logs/tasks/{absent}"), 404, "RESOURCE_NOT_FOUND")
