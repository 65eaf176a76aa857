"""Maintenance: every write of who is no admin waits, but for the few that say otherwise.

The table is made of the routes, so a new one is closed, and tested, from its first day.
"""

import re
from collections.abc import Iterator
from uuid import uuid4

import httpx
import psycopg
import pytest

from api.policy import Policy, policy_of
from commands.event_log.migrate import migrate
from tests.api.documented import as_documented
from tests.api.live import PASSWORD, LiveApi, Person, field_errors, ok, refused
from tests.api.test_policy import routes_of

CONFIG = "/api/admin/config"
FREE = {"title": "x", "task_type": "test"}
OPEN = {
    "POST /api/auth/login",
    "POST /api/tasks/{task_id:uuid}/cancel",
    "POST /api/gpu/servers/enroll",
}
TYPED = re.compile(r":\w+}")
"""What a route says of an id, and the document does not."""
BOUNDARY = "SELECT is_on FROM owl_private.maintenance"


@pytest.fixture(scope="module")
def closed(api: LiveApi, admin: Person) -> Iterator[LiveApi]:
    """A server in maintenance."""
    ok(admin.client.put(CONFIG, json={"maintenance_mode": True}))
    yield api
    ok(admin.client.put(CONFIG, json={"maintenance_mode": False}))


@pytest.fixture(scope="module")
def somebody(api: LiveApi) -> Iterator[Person]:
    """Who was there before."""
    with api.someone() as person:
        yield person


def writes_of(api: LiveApi) -> dict[str, frozenset[str]]:
    """Every route that changes something, with the roles that it is open to."""
    found = {
        route: frozenset[str](policy_of(handler).value)  # type: ignore[union-attr]
        for route, handler in routes_of(api).items()
        if not route.startswith("GET ")
    }
    assert len(found) >= 20
    return found


def asked(client: httpx.Client, route: str) -> httpx.Response:
    """Ask for what is not there, with an empty body."""
    method, path = route.split()
    parts = [
        str(uuid4()) if part.endswith(":uuid}") else part.strip("{}").partition(":")[0]
        for part in path.split("/")
    ]
    content = None if method in {"GET", "DELETE"} else b"{}"
    headers = {"Content-Type": "application/json"}
    return client.request(method, "/".join(parts), content=content, headers=headers)


def test_a_users_writes_are_closed_and_only_these_are_open(
    somebody: Person, closed: LiveApi
) -> None:
    closed_to_them = 0
    for route, roles in writes_of(closed).items():
        answer = asked(somebody.client, route)
        if route in OPEN:
            assert answer.status_code in {404, 422}, route
        elif roles and "user" not in roles:
            refused(answer, 403, "ACCESS_DENIED")
        else:
            assert refused(answer, 503, "SERVER_UNAVAILABLE") == {}, route
            assert int(answer.headers["retry-after"]) > 0
            assert "维护" in answer.json()["message"]
            as_documented(answer, TYPED.sub("}", route))
            closed_to_them += 1
    assert closed_to_them >= 7


def test_an_admins_writes_go_on(closed: LiveApi, admin: Person) -> None:
    for route, handler in routes_of(closed).items():
        if not route.startswith("GET ") and policy_of(handler) is not Policy.PUBLIC:
            assert asked(admin.client, route).status_code not in {500, 503}, route


def test_everybody_reads_on(somebody: Person, closed: LiveApi) -> None:
    for route in routes_of(closed):
        if route.startswith("GET /api"):
            assert asked(somebody.client, route).status_code < 500, route


def test_nobody_without_a_token_registers(somebody: Person, closed: LiveApi) -> None:
    with closed.client() as anonymous:
        new = {"email": "m@example.com", "username": "mmm", "password": PASSWORD}
        for body in (new, {}):
            answer = anonymous.post("/api/auth/register", json=body)
            refused(answer, 503, "SERVER_UNAVAILABLE")
        login = {"email": somebody.email, "password": PASSWORD}
        ok(anonymous.post("/api/auth/login", json=login))
        field_errors(anonymous.post("/api/gpu/servers/enroll", json={}))


def test_the_token_comes_first_and_the_body_last(somebody: Person, closed: LiveApi) -> None:
    refused(httpx.post(f"{closed.url}/api/tasks", json={}), 401, "INVALID_CREDENTIALS")
    for body in (b"{", b"{}"):
        answer = somebody.client.post("/api/tasks", content=body)
        refused(answer, 503, "SERVER_UNAVAILABLE")
    answer = somebody.client.put("/api/users/me", json={}, headers={"Accept-Language": "en"})
    refused(answer, 503, "SERVER_UNAVAILABLE")
    assert "maintenance" in answer.json()["message"]


def test_what_an_admin_was_told_holds_on_every_server_at_once(fresh_api: LiveApi) -> None:
    with (
        LiveApi(fresh_api.database_url) as elsewhere,
        fresh_api.someone("admin") as boss,
        fresh_api.someone() as person,
        elsewhere.client(person.token) as there,
    ):
        name = {"full_name": "x"}
        for _ in range(10):
            ok(boss.client.put(CONFIG, json={"maintenance_mode": True}))
            refused(there.put("/api/users/me", json=name), 503, "SERVER_UNAVAILABLE")
            ok(boss.client.put(CONFIG, json={"maintenance_mode": False}))
            ok(there.put("/api/users/me", json=name))


def test_a_database_of_before_keeps_its_mode(fresh_api: LiveApi) -> None:
    with fresh_api.someone("admin") as boss:
        for is_on in (True, False):
            ok(boss.client.put(CONFIG, json={"maintenance_mode": is_on}))
            ok(boss.client.put(CONFIG, json={"requeue_budget": 3 + is_on}))
            with psycopg.connect(fresh_api.database_url, autocommit=True) as connection:
                connection.execute("DROP TABLE owl_private.maintenance")
                connection.execute("DROP FUNCTION owl_private.recall_maintenance")
                connection.execute("DELETE FROM owl_log.migrations WHERE name ~ 'maintenance'")
            migrate(fresh_api.database_url)
            assert fresh_api.rows(BOUNDARY) == [(is_on,)]
