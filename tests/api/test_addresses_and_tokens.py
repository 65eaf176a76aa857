"""Bad addresses, tokens and headers at any endpoint: refused in words, never with a 500."""

import base64
import re
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import jwt
import pytest
from msgspec.structs import force_setattr

from api.security import AUDIENCE, ISSUER
from tests.api.live import LiveApi, Person, field_errors, ok, refused
from tests.api.opened import KEY, now
from tests.api.test_policy import routes_of


@pytest.mark.parametrize(
    "task_id",
    [
        "nope",
        "{01890a5d-ac96-774b-bcce-b302099a8057}",
        "01890a5dac96774bbcceb302099a8057",
        "urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057",
        "%00",
        "%ff",
        "..",
        "01890a5d-ac96-774b-bcce-b302099a8057",  # well formed, and nobody's
    ],
)
def test_an_id_that_names_nothing(user: Person, task_id: str) -> None:
    refused(user.client.get(f"/api/tasks/{task_id}"), 404, "RESOURCE_NOT_FOUND")
    refused(user.client.post(f"/api/tasks/{task_id}/cancel"), 404, "RESOURCE_NOT_FOUND")


def raw(api: LiveApi, target: str, method: str = "GET", **headers: str) -> httpx.Response:
    """A request whose target is sent as it is."""
    host, port = urlsplit(api.url).netloc.split(":")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    pairs = [line.split(": ", 1) for line in rest]
    return httpx.Response(
        int(first.split()[1]), headers=[(name, value) for name, value in pairs], content=body
    )


@pytest.mark.parametrize("path", ["/api/users/me", "/health/live", "/openapi.json"])
def test_a_method_that_the_address_does_not_take(user: Person, path: str) -> None:
    answer = user.client.patch(path)
    refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert "GET" in answer.headers["allow"]


IMPLIED = {"GET": ("HEAD",)}


def test_an_address_tells_of_all_its_methods(api: LiveApi, user: Person) -> None:
    methods: dict[str, set[str]] = {}
    anything = str(uuid4())
    for route in routes_of(api):
        method, path = route.split()
        filled = re.sub(r"\{\w+:\w+\}", anything, path)
        methods.setdefault(filled, {"OPTIONS"}).update({method, *IMPLIED.get(method, ())})
    assert methods["/api/recharge/codes"] == {"GET", "HEAD", "POST", "OPTIONS"}
    for path, names in methods.items():
        asked, refusal = user.client.options(path), user.client.patch(path)
        assert asked.status_code == 204
        refused(refusal, 405, "METHOD_NOT_ALLOWED")
        for answer in (asked, refusal):
            assert set(answer.headers["allow"].split(", ")) == names, path


def token(user: Person, key: bytes = KEY, kid: str | None = "current", **claims: Any) -> str:
    """A token as the platform gives it, but for what is changed."""
    body = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(user.user_id),
        "iat": now(),
        "exp": now() + timedelta(minutes=5),
        "jti": uuid4().hex,
        "tv": 1,
    } | claims
    return jwt.encode(
        {name: value for name, value in body.items() if value is not None},
        key,
        algorithm="HS256",
        headers={"kid": kid} if kid else {},
    )


def unsigned(user: Person) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none","kid":"current"}').rstrip(b"=").decode()
    return f"{head}.{token(user).split('.')[1]}."


TOKENS: dict[str, Callable[[Person], str]] = {
    "expired": lambda user: token(user, exp=now() - timedelta(seconds=6)),
    "not yet": lambda user: token(user, nbf=now() + timedelta(minutes=5)),
    "no algorithm": unsigned,
    "another key": lambda user: token(user, key=b"x" * 32),
    "unknown kid": lambda user: token(user, kid="other"),
    "path as kid": lambda user: token(user, kid="../../current"),
    "no kid": lambda user: token(user, kid=None),
    "another issuer": lambda user: token(user, iss="somebody"),
    "another audience": lambda user: token(user, aud="something"),
    "no audience": lambda user: token(user, aud=None),
    "unknown user": lambda user: token(user, sub=str(uuid4())),
    "no user": lambda user: token(user, sub="me"),
    "older version": lambda user: token(user, tv=0),
    "version as text": lambda user: token(user, tv="x"),
    "no expiry": lambda user: token(user, exp=None),
    "too long": lambda user: token(user, x="y" * 9_000),
    "rubbish": lambda _user: "rubbish",
    "cut": lambda user: token(user)[:-2],
}


@pytest.mark.parametrize("kind", TOKENS)
def test_a_token_that_is_not_good(api: LiveApi, user: Person, kind: str) -> None:
    with api.client(TOKENS[kind](user)) as client:
        answer = client.get("/api/users/me")
    assert refused(answer, 401, "INVALID_CREDENTIALS") == {}
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["message"] == "无效的认证凭据，请重新登录"


def test_our_own_token_is_good(api: LiveApi, user: Person) -> None:
    with api.client(token(user)) as client:
        ok(client.get("/api/users/me"))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Basic YTpi")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer a b")],
        [("Authorization", "Bearer {token}"), ("Authorization", "Bearer {token}")],
        [("Cookie", "token={token}")],
    ],
)
def test_a_token_that_is_not_shown_as_it_should(
    api: LiveApi, user: Person, headers: list[tuple[str, str]]
) -> None:
    filled = [(name, value.format(token=user.token)) for name, value in headers]
    with api.client() as client:
        answer = client.get("/api/users/me", headers=filled)
    refused(answer, 401, "INVALID_CREDENTIALS")


def test_a_token_in_the_query_is_no_token(api: LiveApi, user: Person) -> None:
    with api.client() as client:
        answer = client.get(f"/api/users/me?token={user.token}")
    refused(answer, 401, "INVALID_CREDENTIALS")


@pytest.mark.parametrize(
    ("given", "echoed"),
    [("abcd-1234", True), ("short", False), ("x" * 65, False), ("abc def ghi", False)],
)
def test_the_request_id_is_echoed_when_it_is_a_good_one(
    user: Person, given: str, *, echoed: bool
) -> None:
    answer = user.client.get("/api/users/me", headers={"X-Request-ID": given})
    assert (answer.headers["x-request-id"] == given) is echoed
    assert answer.headers["x-request-id"]


def test_every_answer_carries_the_security_headers(user: Person) -> None:
    for answer in (
        user.client.get("/api/users/me"),
        user.client.get("/nope"),
        user.client.post("/api/tasks", json={}),
    ):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers


def test_other_origins_are_not_let_in(user: Person) -> None:
    answer = user.client.get("/api/users/me", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("position", ["x", "-1", "1.5", "9" * 30])
def test_a_position_to_wait_for_that_is_none(user: Person, position: str) -> None:
    answer = user.client.get("/api/users/me", headers={"Owl-Min-Position": position})
    assert "Owl-Min-Position" in field_errors(answer)


def test_a_position_that_is_not_reached_is_said_to_be_so(fresh_api: LiveApi) -> None:
    with fresh_api.someone() as person:
        force_setattr(fresh_api.platform.config, "position_wait_s", 0.1)
        answer = person.client.get("/api/users/me", headers={"Owl-Min-Position": "999999999"})
    refused(answer, 503, "SERVER_UNAVAILABLE")
    assert "不带该请求头" in answer.json()["message"]
    assert int(answer.headers["retry-after"]) >= 1
