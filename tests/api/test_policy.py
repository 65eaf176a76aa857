"""Who may do what: every route has a policy, and the gate keeps to it."""

import asyncio
from collections.abc import Iterator
from uuid import UUID, uuid4

import httpx
import pytest
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from api.credentials import Credentials
from api.policy import Policy, policy_of
from domain.accounts.events import Role
from tests.api.live import LiveApi, Person, refused

PUBLIC = {
    "POST /api/auth/register",
    "POST /api/auth/login",
    "POST /api/gpu/servers/enroll",
    "GET /health/live",
    "GET /health/ready",
    "GET /openapi.json",
    "GET /docs",
    "GET /docs/{name:str}",
    "GET /metrics",
}
OWN_PASSWORD = "POST /api/users/change-password"
ROLES: tuple[Role, ...] = ("user", "auditor", "admin", "super_admin")


@pytest.fixture(scope="module")
def people(api: LiveApi) -> Iterator[dict[Role, Person]]:
    with (
        api.someone("user") as user,
        api.someone("auditor") as auditor,
        api.someone("admin") as admin,
        api.someone("super_admin") as super_admin,
    ):
        yield {"user": user, "auditor": auditor, "admin": admin, "super_admin": super_admin}


def routes_of(api: LiveApi) -> dict[str, HTTPRouteHandler]:
    """Every route by method and path."""
    return {
        f"{method} {route.path}": handler
        for route in api.app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
        if method != "OPTIONS"
    }


def asked(client: httpx.Client, route: str) -> httpx.Response:
    method, path = route.split()
    path = path.replace("{name:str}", "x").replace(":uuid}", "}")
    path = "/".join(str(uuid4()) if part.startswith("{") else part for part in path.split("/"))
    return client.request(method, path, json={} if method in {"POST", "PUT"} else None)


def test_every_route_has_a_policy_and_only_these_are_public(api: LiveApi) -> None:
    policies = {route: policy_of(handler) for route, handler in routes_of(api).items()}
    assert [route for route, policy in policies.items() if policy is None] == []
    assert {route for route, policy in policies.items() if policy is Policy.PUBLIC} == PUBLIC


def test_an_auditor_reads_everything_and_writes_nothing_but_their_password(
    api: LiveApi,
) -> None:
    for route, handler in routes_of(api).items():
        policy = policy_of(handler)
        if policy is None or policy is Policy.PUBLIC:
            continue
        allowed = route.startswith("GET ") or route == OWN_PASSWORD
        assert ("auditor" in policy.value) is allowed, route


def test_what_is_for_operators_is_for_no_user(api: LiveApi) -> None:
    for route, handler in routes_of(api).items():
        if route.split()[1].startswith(("/api/admin/", "/api/recharge/codes")):
            policy = policy_of(handler)
            assert policy is not None
            assert policy.value
            assert "user" not in policy.value


def test_nobody_gets_in_without_a_token(api: LiveApi) -> None:
    with api.client() as anonymous:
        for route in routes_of(api).keys() - PUBLIC:
            answer = asked(anonymous, route)
            refused(answer, 401, "INVALID_CREDENTIALS")
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_gets_exactly_as_far_as_its_policy_says(
    api: LiveApi, people: dict[Role, Person], role: Role
) -> None:
    for route, handler in routes_of(api).items():
        policy = policy_of(handler)
        assert policy is not None
        answer = asked(people[role].client, route)
        assert answer.status_code < 500, route
        if policy is not Policy.PUBLIC:
            allowed = role in policy.value
            assert (answer.status_code != 403) is allowed, (route, answer.text)


def test_a_route_without_a_policy_is_shut(
    api: LiveApi, monkeypatch: pytest.MonkeyPatch, user: Person
) -> None:
    handler = routes_of(api)["GET /api/users/me"]
    monkeypatch.setitem(handler.opt, "policy", None)
    refused(user.client.get("/api/users/me"), 403, "ACCESS_DENIED")


def test_a_credential_that_changed_is_seen_by_the_next_request(
    fresh_api: LiveApi,
) -> None:
    with fresh_api.someone() as person:
        assert person.client.get("/api/users/me").status_code == 200
        for change in (
            "UPDATE owl_private.credentials SET token_version = 2",
            "UPDATE owl_private.credentials SET token_version = 1, is_active = false",
            "DELETE FROM owl_private.credentials",
        ):
            fresh_api.execute(change)
            refused(person.client.get("/api/users/me"), 401, "INVALID_CREDENTIALS")


def test_requests_together_share_one_look_up(fresh_api: LiveApi) -> None:
    with fresh_api.someone() as person:

        async def together() -> set[UUID | None]:
            credentials = Credentials(fresh_api.platform.pool, deadline_s=2)
            found = await asyncio.gather(
                *(credentials.standing(person.user_id) for _ in range(50)),
                credentials.standing(uuid4()),
            )
            return {standing.user_id if standing else None for standing in found}

        assert fresh_api.call(together()) == {person.user_id, None}
