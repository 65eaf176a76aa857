"""HEAD is a GET that says nothing but its headers, and OPTIONS tells what an address takes."""

from uuid import uuid4

import httpx

from tests.api.live import LiveApi, Person, ok, refused
from tests.api.test_policy import routes_of

STEADY = {"/api/users/me", "/api/tasks", "/api/admin/config", "/openapi.json"}


def path_of(route: str) -> str:
    """A concrete address of a route, of nothing that is there."""
    parts = route.split()[1].split("/")
    return "/".join(str(uuid4()) if part.endswith(":uuid}") else part for part in parts)


def names(answer: httpx.Response) -> set[str]:
    """Its headers."""
    return {name.lower() for name in answer.headers}


def test_head_answers_every_get_with_its_status_and_headers_alone(
    api: LiveApi, admin: Person
) -> None:
    gets = [route for route in routes_of(api) if route.startswith("GET ")]
    assert len(gets) > 20
    for route in gets:
        path = path_of(route)
        if "/stream" in path or "{" in path or path in {"/health/ready", "/metrics"}:
            continue  # their words change from one moment to the next, or never end
        there, head = admin.client.get(path), admin.client.head(path)
        assert (head.status_code, head.content) == (there.status_code, b""), route
        if path in STEADY:
            assert head.headers["content-length"] == there.headers["content-length"], route
        # how a body is framed that is not sent is nobody's matter: RFC 9112, section 6.1
        assert names(head) == names(there) - {"transfer-encoding"}, route


def test_head_is_refused_as_its_get_would_be(api: LiveApi, user: Person) -> None:
    with api.client() as anonymous:
        answer = anonymous.head("/api/users/me")
        assert (answer.status_code, answer.content) == (401, b"")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert user.client.head("/api/admin/users").status_code == 403
    assert user.client.head("/api/tasks?page=0").status_code == 422
    assert user.client.head("/api/nowhere").status_code == 404
    answer = user.client.head("/api/auth/login")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "OPTIONS, POST"


def test_head_leaves_the_connection_in_order(api: LiveApi, user: Person) -> None:
    for _ in range(3):
        assert user.client.head("/api/users/me").status_code == 200
        ok(user.client.get("/api/users/me"))


def test_a_whole_file_is_not_written_for_nobody(api: LiveApi, admin: Person) -> None:
    path = "/api/logs/download?log_type=user_actions"
    there, head = admin.client.get(path), admin.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-disposition"):
        assert head.headers[name] == there.headers[name]
    ok(admin.client.get("/api/users/me"))


def test_an_address_tells_what_it_takes(api: LiveApi, user: Person) -> None:
    with api.client() as anonymous:
        for path, methods in (
            ("/api/tasks", "GET, HEAD, OPTIONS, POST"),
            ("/api/auth/login", "OPTIONS, POST"),
            ("/api/users/me", "GET, HEAD, OPTIONS, PUT"),
        ):
            answer = anonymous.options(path)
            assert (answer.status_code, answer.content) == (204, b"")
            assert answer.headers["allow"] == methods
            refusal = user.client.patch(path)
            refused(refusal, 405, "METHOD_NOT_ALLOWED")
            assert refusal.headers["allow"] == methods
        refused(anonymous.options("/api/nowhere"), 404, "RESOURCE_NOT_FOUND")
