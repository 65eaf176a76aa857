"""Routes that take no body and are sent one; the table is made of the routes."""

from typing import Any

import httpx
import pytest

from tests.api.bad_input.test_all_at_once import ROUTES, WITH_BODY, address_of
from tests.api.live import Person, field_errors, refused

TAKING_NONE = [
    route
    for route in ROUTES
    if route.split()[0] not in {"GET", "HEAD", "OPTIONS"} and route not in WITH_BODY
]


def sent(admin: Person, route: str, **what: Any) -> httpx.Response:
    return admin.client.request(route.split(maxsplit=1)[0], f"{address_of(route)}", **what)


def test_the_routes_are_there() -> None:
    assert len(TAKING_NONE) >= 9


@pytest.mark.parametrize("route", TAKING_NONE)
def test_a_body_that_would_be_ignored_is_refused(admin: Person, route: str) -> None:
    """C1.26"""
    answer = admin.client.request(
        route.split(maxsplit=1)[0], f"{address_of(route)}?strange=1", json={"a": 1}
    )
    assert field_errors(answer).keys() == {"a", "strange"}
    for content in (b"{", b"[]", b"null", b"\xff", b'{"a": 1, "a": 2}'):
        headers = {"Content-Type": "application/json"}
        refused(sent(admin, route, content=content, headers=headers), 422, "VALIDATION_ERROR")
    for media_type in ("text/plain", "application/x-www-form-urlencoded"):
        headers = {"Content-Type": media_type}
        answer = sent(admin, route, content=b"\xff", headers=headers)
        refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    refused(sent(admin, route, content=b" " * 300_000), 413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("route", TAKING_NONE)
def test_a_body_that_says_nothing_is_none(admin: Person, route: str) -> None:
    """C1.26"""
    bare = sent(admin, route)
    assert bare.status_code == 404
    for content in (b"", b"{}", b" {}\n", b"\n"):
        for media_type in ("application/json", "text/plain"):
            headers = {"Content-Type": media_type}
            answer = sent(admin, route, content=content, headers=headers)
            assert (answer.status_code, answer.json()) == (404, bare.json())
