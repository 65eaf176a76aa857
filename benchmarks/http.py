"""Rows 4 and 5: what durability and reading cost a request, in requests/s over HTTP.

Row 4: ``POST /api/tasks`` as it is (token, credential, validation, hold, limit, commit, read
models passed) over the same route with nothing behind it: the writer answers at once and no
database is asked. Row 5: ``GET /api/users/me`` over a Litestar hello behind the same gate that
reads the credential row on each request.

Each server is a process of its own, started as ``owl serve`` starts it (uvloop, uvicorn, access
log to /dev/null); the projections are another. Over 128 connections all ask as fast as they are
answered.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from litestar import Litestar, get

from api import logging_setup
from api.app import create_app
from api.broker import Broker
from api.clock import new_id, now
from api.credentials import Credentials, Standing
from api.desk import open_desk
from api.door import wrap
from api.passwords import CHEAP, Passwords
from api.platform import HttpConfig, Platform
from api.policy import ANYONE, gate
from api.programs.http_server import HttpServer, listen
from api.programs.long_running import run_long
from api.reading import open_pool
from api.registration import registration
from api.security import Tokens
from api.settings import Settings
from benchmarks.asking import asked_per_s
from benchmarks.measure import Options, Ratio, measure, options, tell
from commands.accounts import register_user
from commands.configuration import ChangeConfiguration, change_configuration
from commands.event_log.log import EventLog
from commands.event_log.private_texts import PrivateTexts
from commands.event_log.secrets import Secrets
from commands.signatures import KeysAtHand, SigningKey
from commands.tasks import Queued
from commands.throttle import Throttle
from commands.writer import Writer
from domain.envelope import Actor, Context
from domain.ports import Committed
from projections.catalogue import BUSINESS
from projections.migrate import prepare
from projections.position import ReadPosition
from projections.runner import Runner
from tests.stack import live_stack

USERS = 512
CONFIG = HttpConfig(token_keys={"current": b"k" * 32}, request_key=b"r" * 32)
SECRETS = Secrets(pepper=b"p" * 32, sealing_key=b"s" * 32)
SYSTEM = Actor("system", "benchmark")
TASK = {
    "title": "视频分析任务",
    "description": "分析视频内容",
    "task_type": "test",
    "priority": 2,
    "estimated_duration": 30,
    "config": {"seconds": 1.5},
}
RATIOS = (
    Ratio(
        row=4,
        name="POST /api/tasks, durable, over the same POST without storage",
        ours="ours: POST /api/tasks, req/s",
        other="limit: the same POST without storage, req/s",
        target=0.6,
        moonshot=0.8,
    ),
    Ratio(
        row=5,
        name="GET /api/users/me over a hello with the same token check",
        ours="ours: GET /api/users/me, req/s",
        other="limit: hello with the same token check, req/s",
        target=0.5,
        moonshot=0.7,
    ),
)


class Nothing:
    """A writer without storage."""

    async def run(self, handler: object, command: Any, context: Context) -> Committed:
        """Answer at once."""
        return Committed(Queued(command.task_id, 1, 0, 0, 3600), position=0, recorded_at=now())


@asynccontextmanager
async def platform_on(database_url: str, nats_url: str) -> AsyncIterator[Platform]:
    """As the wiring builds it, with keys that the driver knows."""
    with EventLog.open(database_url, secrets=SECRETS, require_durable=True) as log:
        async with (
            Broker(nats_url, name="benchmark") as broker,
            Writer(log, now, committed=broker.committed) as writer,
            open_pool(database_url, most=10) as pool,
            Throttle(database_url, SECRETS, now) as throttle,
        ):
            yield Platform(
                writer=writer,
                pool=pool,
                position=ReadPosition(pool, broker.projected),
                clock=now,
                ids=new_id,
                secrets=SECRETS,
                config=CONFIG,
                artifacts=cast("Any", None),
                passwords=Passwords(CHEAP),
                throttle=throttle,
                committed=broker.committed,
                notary_keys=KeysAtHand(lambda: [SigningKey(bytes(32))]),
                writer_counts=writer.counts,
                broker_connected=broker.is_connected,
                texts=PrivateTexts(SECRETS),
            )


@get("/hello", opt=ANYONE)
async def hello() -> dict[str, str]:
    """The least that Litestar can answer."""
    return {"hello": "world"}


def ours(platform: Platform) -> Litestar:
    """The whole application."""
    return create_app(platform)


def without_storage(platform: Platform) -> Litestar:
    """The same application with nothing behind it."""

    async def remembered(_self: Credentials, user_id: UUID) -> Standing:
        return Standing(
            user_id=user_id, role="user", is_active=True, token_version=1, in_maintenance=False
        )

    Credentials.standing = remembered  # type: ignore[method-assign, assignment]
    writer = cast("Any", Nothing())
    return create_app(Platform(**{**fields(platform), "writer": writer}))


def bare_hello(platform: Platform) -> Litestar:
    """Hello behind our gate."""
    app = Litestar(
        route_handlers=[hello], guards=[gate], openapi_config=None, logging_config=None
    )
    wrap(app, open_desk(platform))
    return app


def fields(platform: Platform) -> dict[str, Any]:
    """The platform's parts by name."""
    return {name: getattr(platform, name) for name in platform.__struct_fields__}


def serve(
    build: Callable[[Platform], Litestar], database_url: str, nats_url: str, ready: Connection
) -> None:
    """One server process, until it is told to end."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        logging_setup.set_up_logging(Settings(profile="test"), program="serve", stream=nowhere)

        async def run() -> None:
            listener = listen("127.0.0.1", 0)
            async with platform_on(database_url, nats_url) as platform:
                server = HttpServer(build(platform))
                ready.send(listener.getsockname()[1])
                answering = asyncio.create_task(server.serve(sockets=[listener]))
                await asyncio.to_thread(ready.recv)
                server.should_exit = True
                await answering

        run_long(run())


def project(database_url: str, nats_url: str, ready: Connection) -> None:
    """The projections, until they are told to end."""

    async def run() -> None:
        with EventLog.open(database_url, secrets=SECRETS, require_durable=True) as log:
            async with Broker(nats_url, name="projections") as broker:
                runner = Runner(log.feed(), database_url, BUSINESS, projected=broker.projected)
                following = asyncio.create_task(runner.run(broker.committed))
                ready.send(0)
                await asyncio.to_thread(ready.recv)
                following.cancel()
                await asyncio.wait([following])

    run_long(run())


async def furnish(database_url: str, nats_url: str) -> list[str]:
    """Users, each with a token; room for many open tasks."""
    tokens = Tokens(CONFIG.token_keys, lifetime_s=CONFIG.token_lifetime_s)
    async with platform_on(database_url, nats_url) as platform:

        async def run(handler: Callable[[Any, Any], Any], command: Any) -> None:
            context = Context(command_id=new_id(), actor=SYSTEM, correlation_id="benchmark")
            await platform.writer.run(handler, command, context)

        changes = {"max_concurrent_tasks_per_user": 1_000}
        await run(change_configuration, ChangeConfiguration(changes=changes))
        users = []
        for _ in range(USERS):
            name = f"u{secrets.token_hex(6)}"
            command = await registration(
                platform, email=f"{name}@example.com", username=name, password="password123"
            )
            await run(register_user, command)
            users.append(command.user_id)
    return [tokens.issue(user, 1, now=now(), token_id=new_id()) for user in users]


def request(method: str, path: str, token: str, body: Any = None) -> bytes:
    """The bytes of one request."""
    content = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        + ("Content-Type: application/json\r\n" if content else "")
        + f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def main(chosen: Options) -> None:
    """Start everything, measure, tell."""
    spawn = multiprocessing.get_context("spawn")
    with live_stack(profile="durable") as stack:
        database_url, nats_url = stack.create_database(), stack.nats_url
        prepare(database_url)
        tokens = asyncio.run(furnish(database_url, nats_url))
        lines: list[tuple[Any, Any]] = []

        def start(target: Callable[..., None], *arguments: Any) -> int:
            here, there = spawn.Pipe()
            process = spawn.Process(
                target=target, args=(*arguments, database_url, nats_url, there), daemon=True
            )
            process.start()
            lines.append((process, here))
            return int(here.recv())

        start(project)
        ports = {build: start(serve, build) for build in (ours, without_storage, bare_hello)}
        posts = [request("POST", "/api/tasks", token, TASK) for token in tokens]
        gets = [request("GET", "/api/users/me", token) for token in tokens]
        hellos = [request("GET", "/hello", token) for token in tokens]
        contestants = {
            RATIOS[0].ours: lambda: asked_per_s(ports[ours], posts, chosen.seconds),
            RATIOS[0].other: lambda: asked_per_s(ports[without_storage], posts, chosen.seconds),
            RATIOS[1].ours: lambda: asked_per_s(ports[ours], gets, chosen.seconds),
            RATIOS[1].other: lambda: asked_per_s(ports[bare_hello], hellos, chosen.seconds),
        }
        try:
            tell(measure(contestants, RATIOS, chosen), chosen)
        finally:
            for process, line in lines:
                line.send(None)
                process.join(10)


if __name__ == "__main__":
    main(options(__doc__ or ""))
