"""The log over HTTP: what an auditor asks for is what is stored, and asking is an event."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest

from domain.audit.checkpoint import VerifierKey, checkpoint_in
from projections.audit.signature import is_signed
from tests.api.live import LiveApi, Person, field_errors, ok, refused
from tests.audit.conftest import KEY, sign_all

FREE = {"title": "x", "task_type": "test"}


@pytest.fixture(scope="module")
def story(api: LiveApi, admin: Person) -> Iterator[dict[str, Any]]:
    """Somebody with money and tasks."""
    with api.someone() as person:
        path = f"/api/admin/users/{person.user_id}"
        ok(admin.client.put(path, json={"balance": 250.5}))
        headers = {"X-Request-ID": "request-of-story"}
        task = ok(person.client.post("/api/tasks", json=FREE, headers=headers))
        asyncio.run(sign_all(api.database_url))
        yield {"user_id": str(person.user_id), "task_id": task["id"], "person": person}


def stored(api: LiveApi) -> list[tuple[Any, ...]]:
    return api.rows("""
        SELECT notification_id, topic, originator_id::text, actor, correlation_id
        FROM owl_log.events ORDER BY notification_id
    """)


def walked(auditor: Person, address: str) -> list[Any]:
    """All pages of a list, up to where it stood at the first one."""
    found: list[Any] = []
    page = ok(auditor.client.get(address))
    upto = page["upto"]
    while True:
        found += page["items"]
        if page["next_after"] is None:
            return [each for each in found if each["position"] <= upto]
        query = address if "to=" in address else f"{address}&to={upto}"
        page = ok(auditor.client.get(f"{query}&after={page['next_after']}"))


def test_every_event_is_listed_once_in_order_page_by_page(
    api: LiveApi, auditor: Person, story: dict[str, Any]
) -> None:
    found = walked(auditor, "/api/audit/events?limit=3")
    there = stored(api)[: len(found)]
    assert [(e["position"], e["tag"], e["stream"], e["actor"]) for e in found] == [
        row[:4] for row in there
    ]
    assert len(found) > 8
    newest = walked(auditor, "/api/audit/events?limit=3&order=desc")
    assert [e["position"] for e in newest] == list(range(len(newest), 0, -1))


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("type=tasks.*", lambda e, _: e["tag"].startswith("tasks.")),
        ("type=wallet.balance_adjusted/1", lambda e, _: "balance_adjusted" in e["tag"]),
        ("stream={task_id}", lambda e, s: e["stream"] == s["task_id"]),
        ("entity=task:{task_id}", lambda e, s: e["stream"] == s["task_id"]),
        ("actor=user:{user_id}", lambda e, s: e["actor"] == f"user:{s['user_id']}"),
        ("actor=admin:*", lambda e, _: e["actor"].startswith("admin:")),
        (
            "account={user_id}",
            lambda e, s: e["fact"].get("user_id") == s["user_id"],
        ),
        ("correlation=request-of-story", lambda e, _: "story" in e["correlation_id"]),
        ("amount_min=250.50", lambda e, _: e["fact"].get("delta_fen", 0) >= 25_050),
    ],
)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_filter_finds_what_matches_and_nothing_else(
    auditor: Person, story: dict[str, Any], query: str, matches: Any, order: str
) -> None:
    everything = walked(auditor, "/api/audit/events?limit=1000")
    upto = everything[-1]["position"]
    address = f"/api/audit/events?{query.format_map(story)}&order={order}&to={upto}&limit=2"
    wanted = [e["position"] for e in everything if matches(e, story)]
    assert wanted
    found = [e["position"] for e in walked(auditor, address)]
    assert found == (wanted if order == "asc" else wanted[::-1])


def test_a_time_stands_for_a_position(auditor: Person, story: dict[str, Any]) -> None:
    everything = walked(auditor, "/api/audit/events?limit=1000")
    at = everything[3]["recorded_at"].replace("+00:00", "Z")
    until = ok(auditor.client.get(f"/api/audit/events?to={at}&limit=1000"))["items"]
    since = ok(auditor.client.get(f"/api/audit/events?from={at}&limit=1000"))["items"]
    assert until[-1]["recorded_at"] == everything[3]["recorded_at"]
    assert since[0]["position"] == until[-1]["position"] + 1


def test_a_date_is_its_first_instant_in_utc(auditor: Person, story: dict[str, Any]) -> None:
    today = walked(auditor, "/api/audit/events?limit=1000")[0]["recorded_at"][:10]
    for day in (today, f"{today}T00:00:00Z"):
        assert ok(auditor.client.get(f"/api/audit/events?to={day}"))["items"] == []


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("from=yesterday", "2024-12-31T23:59:59Z"),
        ("to=2026-01-01T00:00:00", "2024-12-31T23:59:59Z"),
        ("type=Wallet", "wallet.*"),
        ("entity=bob", "task:"),
        ("actor=a%40b.cn", "admin:*"),
        ("correlation=a%40b", "req-7f3a9c21"),
        ("amount_min=many", "100.00"),
    ],
)
def test_what_is_written_otherwise_is_shown_how_to_write_it(
    auditor: Person, query: str, shown: str
) -> None:
    ((said,),) = field_errors(auditor.client.get(f"/api/audit/events?{query}")).values()
    assert shown in said


def test_to_withhold_what_no_event_is_would_give_it_away(auditor: Person) -> None:
    asked = auditor.client.get("/api/audit/exports?withhold=accounts.*,walet.*")
    assert "wallet.*" in field_errors(asked)["withhold"][0]


def test_an_event_is_found_by_its_position_and_by_its_id(
    auditor: Person, story: dict[str, Any]
) -> None:
    listed = ok(auditor.client.get("/api/audit/events?from=3&to=3"))["items"][0]
    by_position = ok(auditor.client.get("/api/audit/events/3"))
    assert by_position["event"] == listed
    assert by_position["proof"] is None
    assert ok(auditor.client.get(f"/api/audit/events/{by_position['event_id']}")) == by_position
    for nowhere in ("0", "03", "9999999", "x", f"{uuid4()}/1", f"{listed['stream']}/99"):
        answer = auditor.client.get(f"/api/audit/events/{nowhere}")
        refused(answer, 404, "RESOURCE_NOT_FOUND")
        assert "/api/audit/events?order=desc" in answer.json()["message"]


def test_a_proof_leads_to_a_signed_checkpoint(
    api: LiveApi, auditor: Person, story: dict[str, Any]
) -> None:
    proof = ok(auditor.client.get("/api/audit/events/2?proof=true"))["proof"]
    assert proof.startswith("c2sp.org/tlog-proof@v1\n")
    origin = api.rows("SELECT origin FROM owl_log.identity")[0][0]
    note = proof.split("\n\n", 1)[1]
    assert checkpoint_in(note, VerifierKey(origin, KEY.public_key), is_signed).size >= 2
    head = ok(auditor.client.get("/api/audit/events?order=desc&limit=1"))["upto"]
    refused(auditor.client.get(f"/api/audit/events/{head}?proof=true"), 409, "INVALID_STATE")


def test_asking_is_an_event_that_says_what_was_asked_and_by_whom(
    api: LiveApi, auditor: Person, story: dict[str, Any]
) -> None:
    before = len(stored(api))
    answer = auditor.client.get("/api/audit/events?type=wallet.*&from=2&limit=5&to=7")
    page = ok(answer)
    assert page["upto"] == 7
    event = ok(auditor.client.get(f"/api/audit/events/{before + 1}"))["event"]
    assert event["tag"] == "system.audit_accessed/1"
    assert event["actor"] == f"user:{auditor.user_id}"
    assert event["correlation_id"] == answer.headers["x-request-id"]
    assert answer.headers["owl-position"] == str(event["position"])
    fact = event["fact"]
    assert (fact["user_id"], fact["after"], fact["until"]) == (str(auditor.user_id), 1, 7)
    path, query = urlsplit(fact["asked"])[2:4]
    assert path == "/api/audit/events"
    pairs = [("from", "2"), ("limit", "5"), ("to", "7"), ("type", "wallet.*")]
    assert parse_qsl(query) == pairs
    assert len(stored(api)) == before + 2, "one event for each request"


def test_an_answer_tells_of_the_log_as_it_stood_before_the_question(
    api: LiveApi, auditor: Person, story: dict[str, Any]
) -> None:
    answer = auditor.client.get("/api/audit/events?order=desc&limit=1")
    (newest,) = ok(answer)["items"]
    assert newest["position"] == int(answer.headers["owl-position"]) - 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"),
        ("from=2024-13-01T00:00:00Z", "from"),
        ("to=-1", "to"),
        ("type=a b", "type"),
        ("actor=someone@example.com", "actor"),
        ("correlation=someone@example.com", "correlation"),
        ("entity=user:someone", "entity"),
        ("entity=user:------------------------------------", "entity"),
        ("amount_min=1.234", "amount_min"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("order=sideways", "order"),
        ("since=3", "since"),
        ("account=x", "account"),
    ],
)
def test_a_parameter_that_is_none_is_named_and_not_recorded(
    api: LiveApi, auditor: Person, story: dict[str, Any], query: str, field: str
) -> None:
    before = len(stored(api))
    assert set(field_errors(auditor.client.get(f"/api/audit/events?{query}"))) == {field}
    assert len(stored(api)) == before
