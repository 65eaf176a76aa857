"""The contestants of `dispatch`: what each needs to take jobs and to say when they are done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID, uuid4

import asyncpg
import nats
import procrastinate
from pgqueuer import Queries
from pgqueuer.db import AsyncpgDriver

from benchmarks.append import fresh_id
from benchmarks.dispatch_workers import CONCURRENCY, Stamps
from commands.artifact_store import open_store
from commands.board_reader import BoardReader
from commands.configuration import ChangeConfiguration, change_configuration
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from commands.fleet import EnrolServer, RegisterServer, enrol_server, register_server
from commands.rows import SubjectKey
from commands.signals import LocalSignal
from commands.tasks import SubmitTask, submit_task
from commands.worker import Worker, build_loops
from commands.writer import Writer
from domain.envelope import Actor, Context
from domain.ports import UnitOfWork
from domain.tasks.submission import TaskOrder

USERS: Final = 100


class System(Protocol):
    """A contestant: takes jobs by number and waits until they are done."""

    async def open(self) -> list[str]:
        """Get ready; the arguments of the worker process."""
        ...

    async def submit(self, number: int) -> None:
        """Hand in job ``number``."""
        ...

    async def done(self, first: int, last: int) -> None:
        """Return when these jobs are done."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


class Procrastinate:
    """The main peer."""

    def __init__(self, url: str, stamps: Stamps) -> None:
        self._url, self._stamps = url, stamps
        self._app = procrastinate.App(
            connector=procrastinate.PsycopgConnector(conninfo=url, min_size=4, max_size=32)
        )
        self._task = self._app.task(name="noop")(_never_here)

    async def open(self) -> list[str]:
        await self._app.open_async()
        await self._app.schema_manager.apply_schema_async()
        return ["procrastinate", self._url]

    async def submit(self, number: int) -> None:
        await self._task.defer_async(number=number)

    async def done(self, first: int, last: int) -> None:
        await until_begun(self._stamps, first, last)

    async def close(self) -> None:
        await self._app.close_async()


async def _never_here(number: int) -> None:
    raise AssertionError(f"job {number} should run in the worker process")


class PgQueue:
    """The fastest peer on PostgreSQL."""

    def __init__(self, url: str, stamps: Stamps) -> None:
        self._url, self._stamps = url, stamps

    async def open(self) -> list[str]:
        self._pool = await asyncpg.create_pool(self._url, min_size=4, max_size=32)
        connection = await asyncpg.connect(self._url)
        await Queries(AsyncpgDriver(connection)).install()
        await connection.close()
        self._queries = Queries.from_asyncpg_pool(self._pool)
        return ["pgqueuer", self._url]

    async def submit(self, number: int) -> None:
        await self._queries.enqueue("noop", str(number).encode())

    async def done(self, first: int, last: int) -> None:
        await until_begun(self._stamps, first, last)

    async def close(self) -> None:
        await self._pool.close()


class Ours:
    """Writer and loops in this process, an agent in another."""

    def __init__(self, url: str, nats_url: str, directory: Path) -> None:
        self._url, self._nats_url, self._directory = url, nats_url, directory
        self._stack = AsyncExitStack()

    async def open(self) -> list[str]:
        secrets = Secrets(pepper=b"p" * 32, sealing_key=b"s" * 32)
        log = self._stack.enter_context(
            EventLog.open(self._url, secrets=secrets, require_durable=True)
        )
        committed = LocalSignal()
        self._writer = await self._stack.enter_async_context(
            Writer(log, now, committed=committed)
        )
        client = await nats.connect(self._nats_url)
        self._stack.push_async_callback(client.close)
        worker = Worker(
            log=log,
            writer=self._writer,
            client=client,
            artifacts=open_store((self._directory / "artifacts").as_uri()),
            committed=committed,
            appended=LocalSignal(),
            clock=now,
            ids=fresh_id,
            holder="bench",
            issuer_seed=b"SAAGNFZXGQ5N4XY4NBKGSQZZSTDSAOOKXPBQZZQ2N5VYZTXPPPAKWDG7XE",
        )
        teams = build_loops(worker)
        loops = [asyncio.create_task(team.run()) for team in teams]
        self._stack.push_async_callback(_end, loops)
        reader = teams[0].loops[0]
        assert isinstance(reader, BoardReader)
        self._board = reader.board
        server_id = await self._enrol()
        return ["ours", self._nats_url, str(server_id)]

    async def submit(self, number: int) -> None:
        order = TaskOrder(title="bench", task_type="test", config={"number": number})
        command = SubmitTask(
            task_id=fresh_id(),
            user_id=self._users[number % USERS],
            order=order,
            is_admin=False,
            at=now(),
        )
        await self._run(submit_task, command)

    async def done(self, first: int, last: int) -> None:
        await until(lambda: not self._board.tasks)

    async def close(self) -> None:
        await self._stack.aclose()

    async def _enrol(self) -> UUID:
        server_id = fresh_id()
        register = RegisterServer(
            server_id=server_id,
            name="bench",
            max_concurrent_tasks=CONCURRENCY,
            token_digest="digest",
            token_expires_at=now() + timedelta(hours=1),
        )
        await self._run(register_server, register)
        enrol = EnrolServer(
            server_id=server_id, token_digest="digest", public_key="U", host="bench", at=now()
        )
        await self._run(enrol_server, enrol)
        self._users = [uuid4() for _ in range(USERS)]
        for user_id in self._users:
            await self._run(keep_key, SubjectKey(user_id=user_id, key=bytes(32)))
        changes = {"max_concurrent_tasks_per_user": 1_000}
        await self._run(change_configuration, ChangeConfiguration(changes=changes))
        return server_id

    async def _run(self, handler: Callable[[Any, Any], Any], command: Any) -> None:
        context = Context(
            command_id=fresh_id(), actor=Actor("user", "bench"), correlation_id="bench-request"
        )
        await self._writer.run(handler, command, context)


def keep_key(command: SubjectKey, work: UnitOfWork) -> None:
    """All that there is of a user: what seals what they write."""
    work.keep(command)


def now() -> datetime:
    """The platform's clock."""
    return datetime.now(UTC)


async def until(condition: Callable[[], bool]) -> None:
    """Return within a few milliseconds of its holding."""
    while not condition():  # noqa: ASYNC110 - another process makes it hold
        await asyncio.sleep(0.005)


async def until_begun(stamps: Stamps, first: int, last: int) -> None:
    """Return when each of these jobs has begun."""
    for number in range(last - 1, first - 1, -1):
        await until(lambda number=number: stamps.began(number) > 0)  # type: ignore[misc]


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
