"""Plan, progress and differences of read models over the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest
from msgspec.structs import replace

from api.rebuild_orders import Orders
from api.rebuilding import Operating
from commands.event_log.log import EventLog
from domain.envelope import Actor
from projections.catalogue import READ_MODELS
from projections.fingerprint import fingerprint
from projections.gpu_servers import GPU_SERVERS
from projections.gpu_status import GPU_STATUS
from tests.api.live import LiveApi, Person, ok, refused
from tests.api.opened import SECRETS, new_id

PATH = "/api/admin/projections"
CHANGED = "UPDATE read.gpu_servers SET name = 'as it was: ' || name"
AS_BEFORE = "UPDATE read.gpu_servers SET name = substr(name, 12)"


def build_beside(api: LiveApi) -> None:
    """What ``owl projections rebuild gpu_servers --switch manual`` does."""
    with EventLog.open(api.database_url, secrets=SECRETS, require_durable=False) as log:
        operating = Operating(log, api.platform.writer, new_id, Actor("system", "test"))
        api.call(operating.rebuild([GPU_SERVERS], Orders(switching="manual"), lambda _: None))


@contextmanager
def watching(person: Person, name: str, last_id: str = "") -> Iterator[Iterator[str]]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    path = f"{PATH}/{name}/progress?max_seconds=20"
    with person.client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield response.iter_lines()


def next_event(lines: Iterator[str]) -> tuple[str, dict[str, Any]]:
    last_id = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "id":
            last_id = value
        elif field == "data":
            return last_id, json.loads(value)
    raise EOFError


def test_a_plan_says_what_a_rebuild_would_do_and_begins_nothing(
    api: LiveApi, admin: Person, auditor: Person, user: Person
) -> None:
    for reader in (admin, auditor):
        plan = ok(reader.client.get(f"{PATH}/tasks/plan"))["plan"]
        assert (plan["read_model"], plan["changed"]) == ("tasks", False)
        assert plan["live_fingerprint"] == plan["this_fingerprint"]
        assert plan["events"] > 0
        assert plan["disk_bytes"] > 0
    api.execute(
        "UPDATE owl_read.checkpoints SET fingerprint = 'other' WHERE read_model = 'gpu_status'"
    )
    plan = ok(admin.client.get(f"{PATH}/gpu_status/plan"))["plan"]
    assert (plan["changed"], plan["live_fingerprint"]) == (True, "other")
    this = fingerprint(GPU_STATUS)
    assert plan["this_fingerprint"] == this
    with psycopg.connect(api.database_url) as connection:
        connection.execute(
            "UPDATE owl_read.checkpoints SET fingerprint = %s WHERE fingerprint = 'other'",
            [this],
        )
    refused(user.client.get(f"{PATH}/tasks/plan"), 403, "ACCESS_DENIED")
    refused(admin.client.get(f"{PATH}/dreams/plan"), 404, "RESOURCE_NOT_FOUND")
    assert api.rows("SELECT count(*) FROM owl_read.rebuilds") == [(0,)]


def test_several_are_ordered_at_once_and_each_is_an_event(api: LiveApi, admin: Person) -> None:
    several = f"{PATH}/rebuilds"
    unknown = {"read_models": ["users", "dreams"]}
    refused(admin.client.post(several, json=unknown), 422, "VALIDATION_ERROR")
    refused(admin.client.post(several, json={"workers": 17}), 422, "VALIDATION_ERROR")
    wanted = {"read_models": ["users", "tasks"], "workers": 2, "switching": "manual"}
    orders = ok(admin.client.post(several, json=wanted))["orders"]
    assert {each["read_model"] for each in orders} == {"users", "tasks"}
    rows = api.rows(
        "SELECT fact ->> 'read_model', fact -> 'workers' FROM owl_log.story"
        " WHERE tag = 'system.read_model_act_asked/1' ORDER BY position DESC LIMIT 2"
    )
    assert {tuple(row) for row in rows} == {("users", 2), ("tasks", 2)}
    everything = ok(admin.client.post(several, json={}))["orders"]
    assert {each["read_model"] for each in everything} == {each.name for each in READ_MODELS}


def test_a_watch_tells_the_standing_now_and_each_time_that_it_changes(
    api: LiveApi, admin: Person, auditor: Person
) -> None:
    tails = api.app.state.tails
    tails.config = replace(tails.config, poll_s=0.05)
    with watching(auditor, "gpu_status") as lines:
        first_id, first = next_event(lines)
        assert first["standing"]["read_model"] == "gpu_status"
        assert first["standing"]["comparison"] is None
        api.execute(
            "INSERT INTO owl_read.rebuilds"
            " (read_model, generation, step, switching, max_load, began_from, upto)"
            " VALUES ('gpu_status', 2, 'paused', 'manual', 0.5, 0, 100)"
        )
        second_id, second = next_event(lines)
        assert second["standing"]["rebuild"]["step"] == "paused"
    # nothing is told again to who comes back, until it changes
    with watching(admin, "gpu_status", second_id) as lines:
        api.execute("UPDATE owl_read.rebuilds SET step = 'switched'")
        third_id, third = next_event(lines)
        assert third["standing"]["rebuild"]["step"] == "switched"
    api.execute("DELETE FROM owl_read.rebuilds")
    assert len({first_id, second_id, third_id}) == 3
    wrong = admin.client.get(f"{PATH}/users/progress", headers={"Last-Event-ID": "x"})
    refused(wrong, 422, "VALIDATION_ERROR")
    refused(admin.client.get(f"{PATH}/dreams/progress"), 404, "RESOURCE_NOT_FOUND")


def test_differences_are_named_row_by_row_and_that_somebody_looked_is_an_event(
    api: LiveApi, admin: Person, auditor: Person
) -> None:
    diff = f"{PATH}/gpu_servers/diff"
    english = {"Accept-Language": "en"}
    nothing = auditor.client.get(diff, headers=english)
    refused(nothing, 409, "INVALID_STATE")
    assert "owl projections rebuild gpu_servers --switch manual" in nothing.json()["message"]
    assert "没有可比较的" in admin.client.get(diff).json()["message"]
    for number in range(3):
        wanted = {"name": f"compared-{number}", "max_concurrent_tasks": 1}
        ok(admin.client.post("/api/gpu/servers", json=wanted))
    build_beside(api)
    api.execute(CHANGED)
    found = ok(admin.client.get(f"{diff}?limit=2", headers=english))
    assert [each["table"] for each in found["tables"]] == ["gpu_servers"]
    assert found["tables"][0]["buckets"]
    assert len(found["rows"]) == 2
    for row in found["rows"]:
        assert row["columns"] == ["name"]
        assert row["live"]["name"] == f"as it was: {row['other']['name']}"
    assert "differ at position" in found["told"]
    last = ok(auditor.client.get(f"{PATH}/gpu_servers"))["standing"]["comparison"]
    assert last["tables_that_differ"] == ["gpu_servers"]
    assert "不同" in last["told"]
    rows = api.rows(
        "SELECT actor, fact -> 'differing' FROM owl_log.story"
        " WHERE tag = 'system.read_model_verified/1' ORDER BY position DESC LIMIT 1"
    )
    assert rows == [(f"admin:{admin.user_id}", ["gpu_servers"])]
    kept = api.rows("SELECT found::text FROM owl_read.comparisons")
    assert "as it was" not in str(kept)
    # as many rows as an answer can hold, however many are asked for
    api.execute("UPDATE read.gpu_servers SET name = name || repeat('x', 6000000)")
    large = ok(admin.client.get(f"{diff}?limit=1000"))
    assert len(large["rows"]) == 1
    assert [each["table"] for each in large["tables"]] == ["gpu_servers"]
    api.execute("UPDATE read.gpu_servers SET name = rtrim(name, 'x')")
    api.execute(AS_BEFORE)


def test_a_look_that_takes_too_long_is_ended_in_words(
    api: LiveApi, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.projections_looks.DIFF_WITHIN_S", 0.05)
    answer: httpx.Response = admin.client.get(f"{PATH}/gpu_servers/diff")
    refused(answer, 409, "INVALID_STATE")
    assert "verify" in answer.json()["message"]
    api.until(lambda: not any(api.app.state.long_looks.under_way.values()))
