"""Users, tasks and codes through time over HTTP: the answers of ``owl audit``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from msgspec import json
from msgspec.structs import replace

from domain.ids import account_stream
from projections.audit import entity as entities
from projections.audit.entity import Entity
from projections.audit.folds import OF_ACCOUNT
from projections.audit.keeping import KEEP
from projections.audit.snapshots import encoded, fold_upto
from tests.api.live import LiveApi, Person, field_errors, ok, refused
from tests.api.opened import KEPT

NOBODY = "0190a3c4-7b1e-7f00-8000-00000000dead"
FREE = {"title": "x", "task_type": "test"}


class Played:
    """Somebody with a task that was cancelled."""

    def __init__(self, person: Person, task_id: str, cancelled_at: int) -> None:
        self.user_id = str(person.user_id)
        self.task_id = task_id
        self.cancelled_at = cancelled_at


@pytest.fixture(scope="module")
def played(api: LiveApi, admin: Person) -> Iterator[Played]:
    with api.someone() as person:
        path = f"/api/admin/users/{person.user_id}"
        ok(admin.client.put(path, json={"balance": 10}))
        task_id = ok(person.client.post("/api/tasks", json=FREE))["id"]
        headers = {"X-Request-ID": "the-cancelling"}
        answer = person.client.post(f"/api/tasks/{task_id}/cancel", headers=headers)
        ok(answer)
        yield Played(person, task_id, int(answer.headers["owl-position"]))


def asked(api: LiveApi, entity: Entity, at: int) -> Any:
    """What ``owl audit`` says."""

    async def read() -> Any:
        async with await psycopg.AsyncConnection.connect(
            api.database_url, autocommit=True, options="-c timezone=UTC"
        ) as connection:
            return (
                json.decode(json.encode(await entities.state(connection, entity, at))),
                json.decode(json.encode(await entities.history(connection, entity, at))),
            )

    return api.call(read())


def test_a_state_is_that_of_the_command_line_at_any_position(
    api: LiveApi, auditor: Person, played: Played
) -> None:
    address = f"/api/audit/entities/task/{played.task_id}"
    task = Entity("task", UUID(played.task_id))
    now = ok(auditor.client.get(address))
    assert now["entity"] == f"task:{played.task_id}"
    assert now["state"]["task.phase"] == "cancelled"
    for at in range(1, played.cancelled_at + 1):
        state, _ = asked(api, task, at)
        answer = auditor.client.get(f"{address}?as_of={at}")
        if state:
            assert ok(answer)["state"] == state
            assert ok(answer)["position"] == at
        else:
            refused(answer, 404, "RESOURCE_NOT_FOUND")


def test_a_state_goes_on_from_the_one_that_the_platform_kept_and_sealed(
    api: LiveApi, auditor: Person, played: Played
) -> None:
    """One that nobody could have folded shows that it was read; without its seal it is not."""
    user, stream = UUID(played.user_id), account_stream(UUID(played.user_id))
    address = f"/api/audit/entities/user/{played.user_id}"
    right = ok(auditor.client.get(address))["state"]

    async def keep() -> None:
        async with await psycopg.AsyncConnection.connect(api.database_url) as connection:
            folded = await fold_upto(connection, OF_ACCOUNT, stream, 10**9, None)
            assert folded is not None
            state = encoded(replace(folded.state, available_fen=7))
            row = {
                "fold": KEPT.fold_id(OF_ACCOUNT),
                "stream": stream,
                "position": folded.place.position,
                "version": folded.place.version,
                "state": state,
                "seal": KEPT.seal(OF_ACCOUNT, folded.place, state),
                "user": user,
            }
            await connection.execute(KEEP, row)

    api.call(keep())
    assert ok(auditor.client.get(address))["state"]["account.available_fen"] == 7
    history = ok(auditor.client.get(f"{address}/history"))["items"]
    assert history[0]["entry"]["version"] == 1
    assert ok(auditor.client.get(f"/api/audit/diff?from=1&entity=user:{user}"))["changes"][
        "account.available_fen"
    ] == [None, 7]
    with psycopg.connect(api.database_url) as connection:
        connection.execute("UPDATE owl_private.snapshots SET seal = sha256(seal)")
    assert ok(auditor.client.get(address))["state"] == right


def test_a_time_is_as_good_as_a_position(auditor: Person, played: Played) -> None:
    event = ok(auditor.client.get(f"/api/audit/events/{played.cancelled_at}"))["event"]
    at = event["recorded_at"].replace("+00:00", "Z")
    address = f"/api/audit/entities/task/{played.task_id}"
    assert ok(auditor.client.get(f"{address}?as_of={at}"))["position"] >= played.cancelled_at


def test_a_history_tells_every_event_and_what_it_changed_page_by_page(
    api: LiveApi, auditor: Person, played: Played
) -> None:
    address = f"/api/audit/entities/user/{played.user_id}/history?limit=2"
    steps, page = [], ok(auditor.client.get(address))
    while True:
        steps += page["items"]
        if page["next_after"] is None:
            break
        page = ok(auditor.client.get(f"{address}&after={page['next_after']}"))
    _, wanted = asked(api, Entity("user", UUID(played.user_id)), page["upto"])
    assert steps == wanted
    assert len(steps) > 3
    changed = [step["changes"].get("account.available_fen") for step in steps]
    assert [None, 1000] in changed or [0, 1000] in changed


def test_a_difference_is_of_an_entity_or_of_all_streams(
    auditor: Person, played: Played
) -> None:
    at = played.cancelled_at
    about = f"from={at - 1}&to={at}"
    task = f"entity=task:{played.task_id}"
    found = ok(auditor.client.get(f"/api/audit/diff?{about}&{task}"))
    assert found["streams"] is None
    assert (found["after"], found["upto"]) == (at - 1, at)
    every = ok(auditor.client.get(f"/api/audit/diff?from=0&to={at}"))
    assert every["changes"] is None
    assert played.task_id in [each["stream"] for each in every["streams"]]
    whole = ok(auditor.client.get(f"/api/audit/diff?from=0&{task}"))["changes"]
    assert whole["task.phase"] == [None, "cancelled"]
    backwards = auditor.client.get("/api/audit/diff?from=5&to=4")
    assert set(field_errors(backwards)) == {"to"}
    assert set(field_errors(auditor.client.get("/api/audit/diff"))) == {"from"}


def test_a_trace_is_found_from_an_event_its_id_and_its_request(
    auditor: Person, played: Played
) -> None:
    by_request = ok(auditor.client.get("/api/audit/trace/the-cancelling"))
    tags = [each["entry"]["tag"] for each in by_request["items"]]
    assert "tasks.task_cancelled/1" in tags
    assert by_request["is_complete"] is True
    event = by_request["items"][0]["entry"]
    for address in (f"{event['position']}", f"{event['stream']}/{event['version']}"):
        found = ok(auditor.client.get(f"/api/audit/trace/{address}"))["items"]
        assert [each["entry"]["position"] for each in found] == [
            each["entry"]["position"] for each in by_request["items"]
        ]


@pytest.mark.parametrize(
    "address",
    [
        f"entities/task/{NOBODY}",
        f"entities/nothing/{NOBODY}",
        f"entities/user/{NOBODY}/history",
        "trace/nobody-asked",
        "trace/someone@example.com",
        "trace/99999999",
        f"trace/{NOBODY}/1",
    ],
)
def test_what_is_not_there_is_a_404(auditor: Person, played: Played, address: str) -> None:
    refused(auditor.client.get(f"/api/audit/{address}"), 404, "RESOURCE_NOT_FOUND")
