"""Who looked, and who was not let in, is in the log: without a name, and not without bound."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from api.few_facts import MOST, WITHIN_S, FewFacts
from commands.throttle import Config, Limit
from domain.accounts.claim import normalised
from tests.api.live import PASSWORD, LiveApi, Person, ok, refused
from tests.api.opened import SECRETS

WRONG = "not the password"


def facts(api: LiveApi, tag: str) -> list[dict[str, Any]]:
    rows = api.rows("""
        SELECT owl_log.readable(state) || jsonb_build_object('actor', actor)
        FROM owl_log.events ORDER BY notification_id
    """)
    return [row[0] for row in rows if row[0]["type"] == tag]


def log_in(api: LiveApi, email: str, password: str = WRONG) -> Any:
    with api.client() as client:
        return client.post("/api/auth/login", json={"email": email, "password": password})


def test_a_refused_login_is_an_event_that_names_nobody(api: LiveApi, user: Person) -> None:
    before = len(facts(api, "accounts.login_refused/1"))
    refused(log_in(api, user.email), 401, "INVALID_CREDENTIALS")
    refused(log_in(api, "nobody@example.com"), 401, "INVALID_CREDENTIALS")
    known, unknown = facts(api, "accounts.login_refused/1")[before:]
    assert known["user_id"] == str(user.user_id)
    assert known["reason"] == "wrong_password"
    assert "user_id" not in unknown
    assert unknown["reason"] == "unknown"
    assert unknown["account"] == str(SECRETS.claim_id("email", "Nobody@example.com"))
    assert known["address"] == unknown["address"]
    assert known["actor"] == unknown["actor"] == "policy:login"
    for fact in (known, unknown):
        assert "127.0.0.1" not in str(fact)
        assert normalised("nobody@example.com") not in str(fact)


def test_somebody_deactivated_is_refused_for_that(api: LiveApi, admin: Person) -> None:
    with api.someone() as person:
        path = f"/api/admin/users/{person.user_id}"
        ok(admin.client.put(path, json={"is_active": False}))
        refused(log_in(api, person.email, PASSWORD), 401, "INVALID_CREDENTIALS")
        assert facts(api, "accounts.login_refused/1")[-1]["reason"] == "inactive"


def test_a_wrong_current_password_is_one_too(api: LiveApi) -> None:
    with api.someone() as person:
        body = {"current_password": WRONG, "new_password": f"{PASSWORD} 2"}
        answer = person.client.post("/api/users/change-password", json=body)
        refused(answer, 401, "INVALID_CREDENTIALS")
        assert facts(api, "accounts.login_refused/1")[-1]["user_id"] == str(person.user_id)


def test_the_try_that_closes_an_account_says_until_when_and_later_ones_are_none(
    database_url: str,
) -> None:
    # a try that closes it for one second only might be followed by one that is heard
    throttles = Config(login_pair=Limit(5, 900, "quiet"))
    with LiveApi(database_url, throttles=throttles) as live, live.someone() as person:
        for _ in range(5):
            refused(log_in(live, person.email), 401, "INVALID_CREDENTIALS")
        refused(log_in(live, person.email), 429, "RATE_LIMITED")
        found = facts(live, "accounts.login_refused/1")
        assert len(found) == 5
        assert ["closed_until" in fact for fact in found] == [False] * 4 + [True]
        assert datetime.fromisoformat(found[-1]["closed_until"]).tzinfo is not None


def test_a_flood_is_few_facts_and_none_is_forgotten() -> None:
    now_s = 0.0
    few = FewFacts(lambda: now_s)
    told = [few.admit() for _ in range(MOST + 7)]
    assert told == [0] * MOST + [None] * 7
    now_s = WITHIN_S
    assert [few.admit(), few.admit()] == [7, 0]


@pytest.mark.parametrize(
    "query",
    [
        "/api/logs/system?level=ERROR",
        "/api/logs/user-actions?page_size=5",
        "/api/logs/download?log_type=user_actions",
        "/api/logs/download?date=2026-01-01&log_type=system",
    ],
)
def test_reading_a_log_is_an_event(api: LiveApi, auditor: Person, query: str) -> None:
    before = len(facts(api, "system.log_read/1"))
    assert auditor.client.get(query).status_code == 200
    (fact,) = facts(api, "system.log_read/1")[before:]
    assert fact["asked"] == query
    assert fact["user_id"] == str(auditor.user_id)
    assert fact["actor"] == f"user:{auditor.user_id}"


def test_who_pages_through_the_actions_meets_each_once_and_not_their_own_reading(
    api: LiveApi, user: Person, admin: Person
) -> None:
    for number in range(35):
        answer = user.client.put("/api/users/me", json={"full_name": f"Owl {number}"})
        ok(answer)
    pages = []
    for page in range(1, 5):
        headers = {"Owl-Min-Position": answer.headers["Owl-Position"]}
        path = f"/api/logs/user-actions?page_size=10&page={page}"
        answer = admin.client.get(path, headers=headers)
        pages.append(ok(answer))
    seen = [line["event_id"] for page in pages for line in page["items"]]
    assert len(seen) == len(set(seen)) == 40
    assert len({page["total"] for page in pages}) == 1
    assert len(facts(api, "system.log_read/1")) >= len(pages)


def test_what_was_searched_for_is_kept_under_the_key_of_who_searched(
    api: LiveApi, admin: Person
) -> None:
    ok(admin.client.get("/api/logs/system", params={"search": "张三 13800000000"}))
    fact = facts(api, "system.log_read/1")[-1]
    assert fact["asked"] == "/api/logs/system"
    assert fact["search"]
    assert "13800000000" not in str(fact)


def test_a_log_that_is_asked_for_wrongly_is_not_read(api: LiveApi, admin: Person) -> None:
    before = len(facts(api, "system.log_read/1"))
    assert admin.client.get("/api/logs/system?level=LOUD").status_code == 422
    assert admin.client.get("/api/logs/download?log_type=tasks&level=ERROR").status_code == 422
    assert len(facts(api, "system.log_read/1")) == before


def test_operators_see_who_looked_and_who_was_refused(api: LiveApi, admin: Person) -> None:
    with api.someone("auditor") as looking:
        position = looking.client.get("/api/audit/events").headers["owl-position"]
        refused(log_in(api, looking.email), 401, "INVALID_CREDENTIALS")
        path = f"/api/logs/user-actions?user_id={looking.user_id}"
        headers = {"Owl-Min-Position": str(int(position) + 1), "Accept-Language": "en"}
        found = ok(admin.client.get(path, headers=headers))["items"]
    looked = next(line for line in found if line["action"] == "system.audit_accessed/1")
    assert looked["message"] == "Looked at the audit log"
    assert looked["data"] == {"asked": "/api/audit/events", "after": 0, "until": None}
    denied = next(line for line in found if line["action"] == "accounts.login_refused/1")
    assert denied["user_id"] is None
    assert UUID(denied["target_user_id"]) == looking.user_id
