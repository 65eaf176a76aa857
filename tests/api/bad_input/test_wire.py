"""What comes over the wire before it is a request: rows of ``docs/contract/bad-input.md``."""

import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from api.programs.http_protocol import HEAD_BYTES_MAX, BoundedProtocol
from tests.api.live import LiveApi, Person, ok

ME = b"GET /api/users/me HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@contextmanager
def line(api: LiveApi) -> Iterator[socket.socket]:
    host, _, port = api.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        yield connection


def said(connection: socket.socket) -> bytes:
    """All that comes until the other side hangs up, be it on what it had yet to read."""
    came = list[bytes]()
    with suppress(ConnectionResetError):
        came.extend(iter(lambda: connection.recv(65_536), b""))
    return b"".join(came)


def refused_on_the_wire(answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 "), answer
    assert b"connection: close" in head.lower()
    assert b"x-request-id: " in head.lower()
    assert json.loads(body) == {
        "success": False,
        "message": "请求无法识别，请检查 HTTP 格式后重试",
        "error_code": "BAD_REQUEST",
        "details": {},
    }


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",  # TLS, spoken to plain HTTP
        b"BREW /api/tasks HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/ta sks HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/tasks HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /api/tasks\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        ME + b"X-Key : 1\r\n\r\n",
        ME + b"X\x00: 1\r\n\r\n",
        ME + b"X-Key: a\x00b\r\n\r\n",
        ME + b"Authorization: Bearer\x7fx\r\n\r\n",
        POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        POST + b"Content-Length: -1\r\n\r\n{}",
        POST + b"Content-Length: 2x\r\n\r\n{}",
        POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_http(api: LiveApi, request_: bytes) -> None:
    """C1.22"""
    with line(api) as connection:
        connection.sendall(request_)
        refused_on_the_wire(said(connection))


@pytest.mark.parametrize("cut", [0, 40])
@pytest.mark.parametrize(
    ("language", "words"),
    [(b"", "百分号编码"), (b"Accept-Language: en\r\n", "percent-encode")],
)
def test_an_address_beyond_ascii_is_told_to_be_encoded(
    api: LiveApi, language: bytes, words: str, cut: int
) -> None:
    """C1.22"""
    target = "/api/logs/system?level=ERROR&search=队列".encode()
    whole = b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n" + language + b"\r\n"
    with line(api) as connection:
        connection.sendall(whole[:cut])
        connection.sendall(whole[cut:])
        answer = json.loads(said(connection).partition(b"\r\n\r\n")[2])
    assert answer["error_code"] == "BAD_REQUEST"
    assert words in answer["message"]


@pytest.mark.parametrize("chunk", [b"zz\r\n{}\r\n0\r\n\r\n", b"f" * 19 + b"\r\n", b"-1\r\n"])
def test_chunks_that_are_none(api: LiveApi, chunk: bytes) -> None:
    """C1.22"""
    with line(api) as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
        refused_on_the_wire(said(connection))


def test_a_second_request_hidden_in_a_body_is_a_body(api: LiveApi, user: Person) -> None:
    """C1.22"""
    hidden = b"GET /api/users/me HTTP/1.1\r\nHost: x\r\n\r\n"
    with line(api) as connection:
        token = f"Authorization: Bearer {user.token}\r\n".encode()
        head = POST.replace(b"auth/login", b"tasks") + token + b"Connection: close\r\n"
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(hidden) + hidden)
        answer = said(connection)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 422 ")


@pytest.mark.parametrize("piece", [b"X: y\r\n", b"a"])
def test_a_head_without_end(api: LiveApi, piece: bytes) -> None:
    """C1.23"""
    with line(api) as connection:
        connection.sendall(ME + b"X: ")
        connection.sendall(piece * (HEAD_BYTES_MAX // len(piece) + 10))
        refused_on_the_wire(said(connection))


def test_many_headers_are_no_harm(user: Person) -> None:
    """C1.23"""
    ok(user.client.get("/api/users/me", headers={f"X-{n}": "y" for n in range(500)}))


@pytest.mark.parametrize(
    "beginning",
    [b"", b"GET /api/us", ME + b"X-Slow: 1", POST + b"Content-Length: 20\r\n\r\n{"],
)
def test_whoever_sends_drop_by_drop_is_hung_up_on(
    api: LiveApi,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    beginning: bytes,
) -> None:
    """C1.24"""
    monkeypatch.setattr(BoundedProtocol, "request_s", 0.3)
    with caplog.at_level(logging.ERROR), line(api) as connection:
        connection.sendall(beginning)
        assert said(connection) == b""
    assert caplog.records == []


def test_who_leaves_in_the_middle_of_a_body_is_no_defect(
    api: LiveApi, caplog: pytest.LogCaptureFixture
) -> None:
    """C1.24"""
    with caplog.at_level(logging.INFO):
        with line(api) as connection:
            connection.sendall(POST + b"Content-Length: 20\r\n\r\n{")
        api.until(lambda: "path='/api/auth/login', status=400" in caplog.text)
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
    assert "status=500" not in caplog.text


def test_the_slow_hold_nobody_up(api: LiveApi, user: Person) -> None:
    """C1.24"""
    with line(api) as first, line(api) as second:
        first.sendall(ME + b"X-Slow: 1")
        second.sendall(POST + b"Content-Length: 200000\r\n\r\n{")
        ok(user.client.get("/api/users/me"))
