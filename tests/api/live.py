"""The platform's HTTP side as a running server: real Postgres, writer, projections and uvicorn.

It runs on an event loop of its own in a thread, so tests are plain functions with a client.
"""

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import Any, LiteralString, Self, TypeVar
from uuid import UUID

import httpx
import psycopg
from msgspec.structs import replace

from api.app import create_app
from api.programs.http_server import HttpServer, listen
from api.registration import create_admin
from commands.throttle import Config
from domain.accounts.events import Role
from tests.api.opened import UNHURRIED, Files, open_platform

T = TypeVar("T")

NO_TLS = SSLContext(PROTOCOL_TLS_CLIENT)
"""For clients that speak no TLS: to read the world's certificates takes each of them 20 ms."""

PASSWORD = "password123"


class LiveApi:
    """A server on a free port; use it as a context manager.

    One that is not ``patient`` answers within the time that is promised.
    """

    def __init__(
        self,
        database_url: str,
        *,
        throttles: Config = UNHURRIED,
        trusted_proxies: tuple[str, ...] = (),
        patient: bool = True,
        **config: Any,
    ) -> None:
        self.database_url = database_url
        self._throttles = throttles
        self._trusted_proxies = trusted_proxies
        self._patient = patient
        self.files = Files()
        self._config = config
        self._socket = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._ready = threading.Event()
        self._pause = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30), "the server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive(), "the server did not stop"

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the server's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def execute(self, statement: LiteralString) -> None:
        """Change the database behind the platform's back."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(statement)

    def until(self, holds: Callable[[], Any], *, within_s: float = 30) -> None:
        """Ask again and again until it holds."""
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline, "it did not come true in time"
            self._pause.wait(0.02)

    def rows(self, query: LiteralString) -> list[tuple[Any, ...]]:
        """Look into the database itself."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(query).fetchall()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            opening = open_platform(
                self.database_url, self.files, self._throttles, patient=self._patient
            )
            async with opening as platform:
                self.platform = replace(
                    platform, config=replace(platform.config, **self._config)
                )
                self.app = create_app(self.platform)
                self._server = HttpServer(self.app, self._trusted_proxies)
                self._loop.call_soon(self._ready.set)
                await self._server.serve(sockets=[self._socket])
        finally:
            self._ready.set()

    def client(self, token: str = "", **headers: str) -> httpx.Client:
        """A client; with a token, that user's."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, verify=NO_TLS)

    @contextmanager
    def someone(self, role: Role = "user") -> Iterator["Person"]:
        """A fresh user of a role, signed in."""
        name = f"u{secrets.token_hex(6)}"
        email = f"{name}@example.com"
        if role == "user":
            with self.client() as anonymous:
                ok(
                    anonymous.post(
                        "/api/auth/register",
                        json={"email": email, "username": name, "password": PASSWORD},
                    )
                )
        else:
            self.call(
                create_admin(
                    self.platform, email=email, username=name, password=PASSWORD, role=role
                )
            )
        with self.client() as anonymous:
            login = {"email": email, "password": PASSWORD}
            data = ok(anonymous.post("/api/auth/login", json=login))
        with self.client(data["access_token"]) as client:
            yield Person(email, UUID(data["user"]["id"]), data["access_token"], client)


class Person:
    """Somebody signed in."""

    def __init__(self, email: str, user_id: UUID, token: str, client: httpx.Client) -> None:
        self.email = email
        self.user_id = user_id
        self.token = token
        self.client = client

    def balance(self) -> float:
        """What ``GET /users/me`` says."""
        return float(ok(self.client.get("/api/users/me"))["balance"])


def ok(response: httpx.Response) -> Any:
    """The data of a success, after a look at its envelope."""
    assert response.status_code == 200, response.text
    body = response.json()
    assert body.keys() == {"success", "message", "data", "error_code"}, body
    assert body["success"] is True
    assert body["error_code"] is None
    assert body["message"]
    return body["data"]


def refused(response: httpx.Response, status: int, code: str) -> Any:
    """The details of a failure, after a look at its envelope."""
    assert response.status_code == status, response.text
    body = response.json()
    assert body.keys() == {"success", "message", "error_code", "details"}, body
    assert body["success"] is False
    assert body["error_code"] == code, body
    assert body["message"]
    assert response.headers["x-request-id"]
    return body["details"]


def field_errors(response: httpx.Response) -> dict[str, list[str]]:
    """What a 422 says of each field."""
    details = refused(response, 422, "VALIDATION_ERROR")
    assert details.keys() == {"field_errors"}
    found: dict[str, list[str]] = details["field_errors"]
    assert found
    assert all(messages and all(messages) for messages in found.values())
    return found
