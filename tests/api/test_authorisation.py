"""Every route by everybody: the table is made of the routes, so a new one is in it at once.

Ids in a path are those of real things: the task is ``user``'s, and each request that changes
something finds a fresh one. A route with an id of a new kind fails here until there is one.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import httpx
import pytest
from litestar.handlers import HTTPRouteHandler
from psycopg import AsyncConnection

from api.policy import Policy, policy_of
from domain.accounts.events import Role
from domain.tasks.events import Artifact
from projections.catalogue import READ_MODELS
from tests.api.live import PASSWORD, LiveApi, Person, ok, refused
from tests.api.test_policy import routes_of
from tests.api.valid_requests import BODIES, CHANGE_PASSWORD, QUERIES, ROLES
from tests.audit.conftest import sign_all
from tests.journeys.farm import Server

FREE = {"title": "x", "task_type": "test"}
FILE = b"what a task made"
SHUT_OUT = ("anonymous", "deactivated", "old token")
INSIDE: dict[str, Role] = {
    "user": "user",
    "other user": "user",
    "auditor": "auditor",
    "admin": "admin",
    "super admin": "super_admin",
}
CODES = {
    401: "INVALID_CREDENTIALS",
    403: "ACCESS_DENIED",
    404: "RESOURCE_NOT_FOUND",
    409: "INVALID_STATE",
    422: "VALIDATION_ERROR",
}
OTHERWISE = {
    "GET /api/logs/download": 422,  # which log and which day is not said
    "GET /api/admin/projections/{read_model:str}/diff": 409,  # there is one generation only
}
"""What those who may get where it is neither a 200 nor, for a body that is none, a 422."""

SHOWN: Final = re.compile(r"\bread\.(\w+)")
"""A view that queries see."""
FROM_THE_LOG: Final = ("GET /api/audit/", "GET /api/admin/projections/")
"""They show no rows of a list, and look for seconds."""


class World:
    """Who asks, and the things that they ask for."""

    def __init__(self, api: LiveApi, stack: ExitStack) -> None:
        self._stack = stack
        self._api = api
        self.admin = self._someone("admin")
        self.owner = self._someone()
        self.clients: dict[str, httpx.Client] = {
            "anonymous": stack.enter_context(api.client()),
            "deactivated": self._deactivated(),
            "old token": self._outdated(),
            "user": self.owner.client,
            "other user": self._someone().client,
            "auditor": self._someone("auditor").client,
            "admin": self.admin.client,
            "super admin": self._someone("super_admin").client,
        }
        self.server = Server(api, self.admin, name="asked for")
        self.server.enrol()
        self.server.beat()
        self.done = self._task_with_a_file()
        asyncio.run(sign_all(api.database_url, events_max=4096))
        self.makers: Mapping[str, Callable[[str], str]] = {
            "task_id": self._task,
            "server_id": self._server,
            "code_id": self._code,
            "user_id": lambda _: str(self.owner.user_id),
            "account": lambda _: str(self.owner.user_id),
            "name": lambda route: "swagger-ui.css" if "/docs/" in route else "a.txt",
            "event": lambda _: "1",
            "stream_id": lambda _: str(self.owner.user_id),
            "version": lambda _: "1",
            "kind": lambda _: "user",
            "entity_id": lambda _: str(self.owner.user_id),
            "cause": lambda _: "1",
            "level": lambda _: "0",
            "number": lambda _: "000.p/1",
            "read_model": lambda _: "users",
            "act": lambda _: "verify",
        }

    def path(self, route: str) -> str:
        """The route's path with real things in it."""
        parts = route.partition(" ")[2].split("/")
        return "/".join(
            self.makers[part[1:-1].partition(":")[0]](route) if part[:1] == "{" else part
            for part in parts
        ) + QUERIES.get(route, "")

    def served(self, route: str, said: str) -> httpx.Response:
        """Ask as who may, and no more, with a good body and ``said`` where any text may be."""
        client = self.clients["user" if "user" in ROLES[route] else "admin"]
        if route == CHANGE_PASSWORD:
            client = self._someone().client
        body = BODIES[route](self.admin, said) if route in BODIES else None
        return client.request(route.partition(" ")[0], self.path(route), json=body)

    def _someone(self, role: Role = "user") -> Person:
        return self._stack.enter_context(self._api.someone(role))

    def _deactivated(self) -> httpx.Client:
        person = self._someone()
        ok(person.client.get("/api/users/me"))
        path = f"/api/admin/users/{person.user_id}"
        ok(self.admin.client.put(path, json={"is_active": False}))
        return person.client

    def _outdated(self) -> httpx.Client:
        person = self._someone()
        ok(person.client.get("/api/users/me"))
        body = {"current_password": PASSWORD, "new_password": f"{PASSWORD} 2"}
        ok(person.client.post("/api/users/change-password", json=body))
        return person.client

    def _submitted(self) -> str:
        return str(ok(self.owner.client.post("/api/tasks", json=FREE))["id"])

    def _task_with_a_file(self) -> str:
        task_id = UUID(self._submitted())
        self.server.take(task_id)
        artifact = Artifact(
            name="a.txt",
            size_bytes=len(FILE),
            sha256=self._api.files.put(FILE),
            media_type="text/plain",
        )
        self.server.end(task_id, "completed", artifacts=(artifact,))
        return str(task_id)

    def _task(self, route: str) -> str:
        if route.startswith("GET "):
            return self.done
        for task in ok(self.owner.client.get("/api/tasks?status=pending"))["items"]:
            ok(self.owner.client.post(f"/api/tasks/{task['id']}/cancel"))
        task_id = self._submitted()
        if route.endswith("/retry"):
            ok(self.owner.client.post(f"/api/tasks/{task_id}/cancel"))
        return task_id

    def _server(self, route: str) -> str:
        if route.startswith("GET "):
            return str(self.server.server_id)
        room = {"name": f"s{uuid4().hex[:12]}", "max_concurrent_tasks": 1}
        return str(ok(self.admin.client.post("/api/gpu/servers", json=room))["id"])

    def _code(self, _: str) -> str:
        codes = ok(self.admin.client.post("/api/recharge/codes", json={"amount": 1}))["codes"]
        return str(codes[0]["id"])


class Cell(NamedTuple):
    """What somebody gets of a route."""

    route: str
    status: int
    wanted: int


@pytest.fixture(scope="module")
def world(api: LiveApi) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(api, stack)


def wanted(route: str, handler: HTTPRouteHandler, who: str) -> int:
    """The status that it has to answer, by the table and not by its policy."""
    if roles := ROLES[route]:
        if who in SHUT_OUT:
            return 401
        if INSIDE[who] not in roles:
            return 403
    if "{task_id" in route and who == "other user":
        return 404
    if "data" in handler.parsed_fn_signature.parameters:
        return 422
    return OTHERWISE.get(route, 200)


def asked(world: World, route: str, handler: HTTPRouteHandler, who: str) -> httpx.Response:
    """Ask with a body that is none, where there is to be one: whoever may is told so."""
    takes_a_body = "data" in handler.parsed_fn_signature.parameters
    return world.clients[who].request(
        route.partition(" ")[0],
        world.path(route),
        content=b"[" if takes_a_body else None,
        headers={"Content-Type": "application/json"} if takes_a_body else {},
    )


@pytest.mark.parametrize("who", [*SHUT_OUT, *INSIDE])
def test_everybody_gets_of_every_route_exactly_what_the_table_says(
    api: LiveApi, world: World, who: str
) -> None:
    cells = []
    for route, handler in routes_of(api).items():
        answer = asked(world, route, handler, who)
        cells.append(Cell(route, answer.status_code, wanted(route, handler, who)))
        if answer.status_code in CODES and answer.status_code == cells[-1].wanted:
            details = refused(answer, answer.status_code, CODES[answer.status_code])
            assert answer.status_code not in {401, 403, 404} or details == {}, route
        if answer.status_code == 401:
            assert answer.headers["www-authenticate"] == "Bearer"
    assert [cell for cell in cells if cell.status != cell.wanted] == []
    assert len(cells) == len(routes_of(api)) >= 43
    statuses = {cell.status for cell in cells}
    assert statuses >= ({200, 401} if who in SHUT_OUT else {200, 422})
    assert (403 in statuses) is (who in {"user", "other user", "auditor"})
    assert (404 in statuses) is (who == "other user")


def test_whoever_may_write_and_sends_what_is_right_is_served(
    api: LiveApi, world: World
) -> None:
    for route in routes_of(api):
        if not route.startswith("GET "):
            answer = world.served(route, "x")
            assert answer.is_success, (route, answer.text)


def test_the_columns_are_all_there_and_each_is_somebody_else(world: World) -> None:
    assert world.clients.keys() == {*SHUT_OUT, *INSIDE}
    tokens = {client.headers.get("authorization") for client in world.clients.values()}
    assert len(tokens) == len(world.clients)
    for who, role in INSIDE.items():
        assert ok(world.clients[who].get("/api/users/me"))["role"] == role


def test_another_users_task_is_nowhere(api: LiveApi, world: World) -> None:
    there, nowhere = world.clients["other user"], str(uuid4())
    routes = {name: handler for name, handler in routes_of(api).items() if "{task_id" in name}
    assert len(routes) >= 6
    for route, handler in routes.items():
        if "user" not in (policy_of(handler) or Policy.PUBLIC).value:
            continue
        theirs = asked(world, route, handler, "other user")
        refused(theirs, 404, "RESOURCE_NOT_FOUND")
        path = route.partition(" ")[2].replace("{task_id:uuid}", nowhere)
        nothing = there.request(route.partition(" ")[0], path.replace("{name:str}", "a.txt"))
        assert nothing.json() == theirs.json(), "no telling which it is"
    ok(world.owner.client.get(f"/api/tasks/{world.done}"))


def test_no_answer_tells_another_user_of_ones_things(api: LiveApi, world: World) -> None:
    mine = (world.done, str(world.owner.user_id), world.owner.email)
    told = ok(world.owner.client.get(f"/api/logs/tasks/{world.done}"))
    assert world.done in str(told) + str(ok(world.owner.client.get("/api/tasks")))
    read = 0
    for route, handler in routes_of(api).items():
        policy = policy_of(handler)
        if route.startswith("GET ") and policy is not None and "user" in policy.value:
            answer = asked(world, route, handler, "other user")
            assert [thing for thing in mine if thing in answer.text] == [], route
            read += answer.is_success
    assert read >= 7


def test_no_answer_is_made_of_rows_of_a_read_model_that_two_statements_read(
    api: LiveApi, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sees one generation of a read model; a switch could come between two."""
    read: Counter[str] = Counter()
    execute = AsyncConnection.execute
    made = {name: model.name for model in READ_MODELS for name in model.relations}

    async def heard(connection: Any, query: Any, *more: Any, **about: Any) -> Any:
        read.update({made[name] for name in SHOWN.findall(str(query))})
        return await execute(connection, query, *more, **about)

    monkeypatch.setattr(AsyncConnection, "execute", heard)
    seen: set[str] = set()
    for route, handler in routes_of(api).items():
        if route.startswith("GET /api/") and not route.startswith(FROM_THE_LOG):
            read.clear()
            asked(world, route, handler, "admin")
            assert {name: times for name, times in read.items() if times > 1} == {}, route
            seen |= read.keys()
    assert {model.name for model in READ_MODELS} - seen == set()
