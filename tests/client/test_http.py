"""One session with the API over a network that loses answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from api.client.http import ApiClient, ApiRefused, ApiUnreachable
from tests.api.live import LiveApi, Person, ok

UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: %d\r\n"
    b"Connection: close\r\n\r\n"
    b'{"success":false,"message":"later","error_code":"SERVER_UNAVAILABLE","details":{}}'
)


@asynccontextmanager
async def relay(target: str, *, answers_lost: int) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A hop that passes every request on and drops the first answers; yields its address."""
    to = urlsplit(target)
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        length = request.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        request += await reader.readexactly(int(length or b"0"))
        requests.append(request)
        there, out = await asyncio.open_connection(to.hostname, to.port)
        out.write(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        answer = await there.read()
        if len(requests) > answers_lost:
            writer.write(answer)
            await writer.drain()
        writer.close()
        out.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", requests


@asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[tuple[str, list[float]]]:
    """A server that knows one answer; the list is when it was asked."""
    asked: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.append(asyncio.get_running_loop().time())
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


def test_what_was_done_though_its_answer_was_lost_is_not_done_twice(
    api: LiveApi, user: Person
) -> None:
    async def submit() -> Any:
        async with (
            relay(api.url, answers_lost=2) as (url, requests),
            ApiClient(url, token=user.token) as client,
        ):
            task = await client.post("/tasks", {"title": "once", "task_type": "test"})
            return task, requests

    task, requests = asyncio.run(submit())
    assert len(requests) == 3
    assert len({request.lower() for request in requests}) == 1, "all three are the same act"
    listed = ok(user.client.get("/api/tasks"))
    assert [item["id"] for item in listed["items"]] == [task["id"]]


def test_a_read_asks_for_what_this_session_has_written(api: LiveApi, user: Person) -> None:
    async def write_and_read() -> list[bytes]:
        async with (
            relay(api.url, answers_lost=0) as (url, requests),
            ApiClient(url, token=user.token) as client,
        ):
            await client.get("/users/me")
            await client.post("/tasks", {"title": "seen", "task_type": "test"})
            await client.get("/tasks")
            return requests

    before, _, after = (request.lower() for request in asyncio.run(write_and_read()))
    assert b"owl-min-position" not in before
    assert b"owl-min-position" in after


def test_a_short_wait_is_waited_and_a_long_one_told() -> None:
    async def ask(retry_after_s: int) -> int:
        async with saying(UNAVAILABLE % retry_after_s) as (url, asked):
            async with ApiClient(url) as client:
                with pytest.raises(ApiRefused, match="SERVER_UNAVAILABLE"):
                    await client.get("/users/me")
            return len(asked)

    assert asyncio.run(ask(0)) == 3
    assert asyncio.run(ask(60)) == 1


def test_a_delete_is_never_repeated() -> None:
    async def delete() -> int:
        async with saying(UNAVAILABLE % 0) as (url, asked):
            async with ApiClient(url) as client:
                with pytest.raises(ApiRefused):
                    await client.call("DELETE", "/tasks/x")
            return len(asked)

    assert asyncio.run(delete()) == 1


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"null", b"", b"{}"])
def test_what_does_not_speak_the_contract_is_no_api_of_ours(body: bytes) -> None:
    async def ask() -> None:
        page = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        async with saying(page) as (url, _), ApiClient(url) as client:
            await client.get("/users/me")

    with pytest.raises(ApiUnreachable, match="another program answers"):
        asyncio.run(ask())
