"""Who may do what: every route has a policy, and the gate keeps to it."""

import asyncio
from uuid import UUID, uuid4

import pytest
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from api.credentials import Credentials
from api.policy import Policy, policy_of
from tests.api.live import LiveApi, Person, refused
from tests.api.valid_requests import ROLES

OWN_PASSWORD = "POST /api/users/change-password"


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


def test_every_route_is_open_to_whom_the_table_says_and_to_nobody_else(api: LiveApi) -> None:
    assert [each for each in api.app.routes if not isinstance(each, HTTPRoute)] == []
    policies = {route: policy_of(handler) for route, handler in routes_of(api).items()}
    assert {name: policy and policy.value for name, policy in policies.items()} == ROLES


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
