"""An id of another kind of thing names nothing: 404, an enrolment 401, and it hurts nobody.

The routes and the fixed streams are those that there are, so that new ones are asked at once.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import pytest
from litestar.handlers import HTTPRouteHandler

from api.policy import policy_of
from domain import ids
from domain.ids import CONFIGURATION_STREAM, account_stream
from tests.api.live import LiveApi, Person, ok, refused
from tests.api.test_policy import routes_of
from tests.journeys.farm import Server, public_key

FREE = {"title": "x", "task_type": "test"}
ENROL: Final = "POST /api/gpu/servers/enroll"
KIND_OF: Final = {
    "task_id": "task",
    "server_id": "server",
    "code_id": "code",
    "user_id": "user",
}
BODIES: Final[dict[str, Any]] = {
    "PUT /api/admin/users/{user_id:uuid}": {"is_active": False, "role": "user", "balance": 1},
    "PUT /api/gpu/servers/{server_id:uuid}": {"name": "renamed"},
}


class Things:
    """One of every kind, each with a life: what is asked for under wrong names."""

    def __init__(self, api: LiveApi, stack: ExitStack) -> None:
        self.owner = stack.enter_context(api.someone())
        self.admin = stack.enter_context(api.someone("super_admin"))
        codes = {"amount": 1, "batch_size": 2}
        self.codes = ok(self.admin.client.post("/api/recharge/codes", json=codes))["codes"]
        redeemed = {"code": self.codes[0]["code"]}
        ok(self.owner.client.post("/api/recharge/redeem", json=redeemed))
        self.server = Server(api, self.admin)
        self.task_id = UUID(ok(self.owner.client.post("/api/tasks", json=FREE))["id"])
        verify = self.admin.client.post("/api/admin/projections/users/verify")
        assert verify.is_success, verify.text
        self.ids: dict[str, UUID] = {
            "user": self.owner.user_id,
            "account": account_stream(self.owner.user_id),
            "task": self.task_id,
            "server": self.server.server_id,
            "code": UUID(self.codes[0]["id"]),
            "nothing": uuid4(),
            **{name: each for name, each in vars(ids).items() if name.endswith("_STREAM")},
        }
        assert len(self.ids) >= 10


@pytest.fixture
def things(fresh_api: LiveApi) -> Iterator[Things]:
    with ExitStack() as stack:
        yield Things(fresh_api, stack)


def enrolment(server_id: UUID) -> dict[str, str]:
    return {"token": f"owl_{server_id.hex}_{'A' * 43}", "public_key": public_key()}


def kind_of(route: str) -> str | None:
    """What the id in a route's path is of."""
    if route == ENROL:
        return "server"
    if route.startswith("GET ") or "{" not in route:
        return None
    parameter = route.partition("{")[2].partition(":")[0]
    return KIND_OF.get(parameter) if parameter not in {"read_model", "name"} else None


def by_others_ids(
    api: LiveApi, things: Things, asker: Person
) -> Iterator[tuple[str, str, httpx.Response]]:
    """Every write route that takes an id, with the id of everything that is not of its kind."""
    role = "super_admin" if asker is things.admin else "user"
    with api.client(asker.token) as client, api.client() as anonymous:
        for route, handler in routes_of(api).items():
            mine = kind_of(route)
            if mine is None or not may(handler, role):
                continue
            method, _, path = route.partition(" ")
            for kind, other in things.ids.items():
                if kind == mine:
                    continue
                if route == ENROL:
                    yield route, kind, anonymous.post(path, json=enrolment(other))
                    continue
                head, _, rest = path.partition("{")
                at = f"{head}{other}{rest.partition('}')[2]}"
                assert (route in BODIES) is ("data" in handler.parsed_fn_signature.parameters)
                yield route, kind, client.request(method, at, json=BODIES.get(route))


def may(handler: HTTPRouteHandler, role: str) -> bool:
    policy = policy_of(handler)
    assert policy is not None
    return not policy.value or role in policy.value


def all_are_refused(api: LiveApi, things: Things) -> int:
    """How many were asked."""
    wrong, asked = [], 0
    for asker in (things.owner, things.admin):
        for route, kind, answer in by_others_ids(api, things, asker):
            asked += 1
            if answer.status_code != (401 if route == ENROL else 404):
                wrong.append((route, kind, answer.status_code))
    assert wrong == []
    return asked


def everything_works(api: LiveApi, things: Things) -> None:
    """Whatever was asked under wrong names can be used under its own."""
    with api.client(things.owner.token) as owner, api.client(things.admin.token) as admin:
        task_id = ok(owner.post("/api/tasks", json=FREE))["id"]
        ok(owner.post(f"/api/tasks/{task_id}/cancel"))
        ok(owner.post(f"/api/tasks/{task_id}/retry"))
        ok(owner.post(f"/api/tasks/{task_id}/cancel"))
        ok(owner.delete(f"/api/tasks/{task_id}"))
        was = ok(admin.get("/api/admin/config"))["max_concurrent_tasks_per_user"]
        ok(admin.put("/api/admin/config", json={"max_concurrent_tasks_per_user": was + 1}))
        server = f"/api/gpu/servers/{things.server.server_id}"
        for act in ("drain", "resume", "enrolment-token"):
            ok(admin.post(f"{server}/{act}"))
        ok(admin.put(f"/api/admin/users/{things.owner.user_id}", json={"balance": 7}))
        ok(admin.post(f"/api/recharge/codes/{things.codes[0]['id']}/reveal"))
        verify = admin.post("/api/admin/projections/users/verify")
        assert verify.is_success, verify.text


def test_an_id_of_another_kind_is_nothing_to_whoever_knows_it_and_to_whoever_does_not(
    fresh_api: LiveApi, things: Things
) -> None:
    assert all_are_refused(fresh_api, things) >= 100  # by a process that made them all itself
    everything_works(fresh_api, things)
    assert all_are_refused(fresh_api, things) >= 100  # now with a configuration
    with LiveApi(fresh_api.database_url) as cold:  # by one that has read nothing yet
        assert all_are_refused(cold, things) >= 100
        everything_works(cold, things)
    everything_works(fresh_api, things)


def test_one_strange_enrolment_takes_nothing_from_anybody(fresh_api: LiveApi) -> None:
    with fresh_api.someone() as user, fresh_api.someone("admin") as admin:
        with fresh_api.client() as anonymous:
            for stream in (CONFIGURATION_STREAM, account_stream(user.user_id)):
                answer = anonymous.post(ENROL.partition(" ")[2], json=enrolment(stream))
                refused(answer, 401, "INVALID_CREDENTIALS")
        ok(user.client.post("/api/tasks", json=FREE))
        ok(admin.client.get("/api/admin/config"))
        ok(admin.client.put("/api/admin/config", json={"max_concurrent_tasks_per_user": 3}))
        ok(admin.client.put(f"/api/admin/users/{user.user_id}", json={"balance": 7}))


def test_an_account_is_no_task(fresh_api: LiveApi) -> None:
    with fresh_api.someone() as user, fresh_api.someone("admin") as admin:
        for _ in range(2):
            path = f"/api/tasks/{account_stream(user.user_id)}/cancel"
            refused(user.client.post(path), 404, "RESOURCE_NOT_FOUND")
            ok(admin.client.put(f"/api/admin/users/{user.user_id}", json={"balance": 7}))
            ok(user.client.post("/api/tasks", json=FREE))


def test_whoever_reads_by_an_id_of_another_kind_finds_nothing(
    fresh_api: LiveApi, things: Things
) -> None:
    found = []
    for route in routes_of(fresh_api):
        method, _, path = route.partition(" ")
        parameters = [part for part in path.split("/") if part.endswith(":uuid}")]
        if method != "GET" or len(parameters) != 1:
            continue
        kinds = ("user", "task", "server", "code") if "{kind:str}" in path else (None,)
        for kind in kinds:
            mine = kind or KIND_OF.get(parameters[0][1:-6])
            for name, other in things.ids.items():
                if mine in (name, None) or (mine, name) == ("user", "account"):
                    continue
                at = path.replace(parameters[0], str(other)).replace("{name:str}", "a.txt")
                answer = things.admin.client.get(at.replace("{kind:str}", kind or ""))
                if answer.status_code != 404:
                    found.append((route, mine, name, answer.status_code))
    assert found == []
