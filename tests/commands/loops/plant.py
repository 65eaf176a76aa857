"""A plant: log, broker and workers as in production, and the commands of a story."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import nats
import nkeys
from nats.aio.client import Client

from commands.artifact_store import ArtifactStore, open_store
from commands.board_reader import BoardReader
from commands.configuration import ChangeConfiguration, change_configuration
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from commands.fleet import EnrolServer, RegisterServer, enrol_server, register_server
from commands.loop import Config, Supervised, end
from commands.recharge import IssueCodes, NewCode, RedeemCode, issue_codes, redeem_code
from commands.rows import SubjectKey
from commands.signals import LocalSignal
from commands.tasks import CancelTask, SubmitTask, cancel_task, submit_task
from commands.worker import Worker, WorkerConfig, build_loops
from commands.writer import Writer
from domain.envelope import Actor, Context, Recorded
from domain.facts import Fact
from domain.ids import account_stream, uuid7
from domain.ports import EventFeed, UnitOfWork
from domain.tasks.submission import TaskOrder
from domain.tasks.task import TASK, Task
from domain.wallet.wallet import WALLET, Wallet

SECRETS = Secrets(pepper=b"p" * 32, sealing_key=b"s" * 32)
SOON_S = 30.0
QUICK = Config(
    lease_ttl_s=1.0,
    standby_poll_s=0.05,
    retry_first_s=0.02,
    retry_most_s=0.2,
    failures_most=1000,
)
FREE = TaskOrder(title="试", task_type="test")
F = TypeVar("F", bound=Fact)


def now() -> datetime:
    return datetime.now(UTC)


def new_id() -> UUID:
    return uuid7(int(now().timestamp() * 1000), os.urandom(10))


async def eventually(condition: Callable[[], Any], within_s: float = SOON_S) -> Any:
    """What the condition gives as soon as it holds; the test fails when it never does."""
    async with asyncio.timeout(within_s):
        while not (result := condition()):  # noqa: ASYNC110 - a condition of any kind
            await asyncio.sleep(0.01)
    return result


class RunningWorker:
    """A worker process, in this one: its own writer, board, signals and connection."""

    def __init__(self, teams: list[Supervised], client: Client) -> None:
        self.teams = {team.name: team for team in teams}
        self.client = client
        self._tasks = [asyncio.create_task(team.run()) for team in teams]

    @property
    def reader(self) -> BoardReader:
        reader = self.teams["everywhere"].loops[0]
        assert isinstance(reader, BoardReader)
        return reader

    def loop(self, name: str) -> Any:
        """The loop of that name."""
        every = [loop for team in self.teams.values() for loop in team.loops]
        return next(loop for loop in every if loop.name == name)

    def leads(self, team: str = "dispatch") -> bool:
        return self.teams[team].status.standing == "leading"

    async def stop(self) -> None:
        """End in order: leases are released."""
        await end(self._tasks, insist_after_s=5)

    async def die(self) -> None:
        """End as by ``kill -9``: nothing is released and nothing is said any more."""
        for team in self.teams.values():
            if team._lease is not None:
                team._lease.__dict__["release"] = _nothing
        await self.stop()


async def _nothing(_: object) -> None:
    return


def keep_key(command: SubjectKey, work: UnitOfWork) -> None:
    """All that there is of a user who never registered."""
    work.keep(command)


class Plant:
    """Everything that a story of the loops needs."""

    def __init__(
        self, log: EventLog, writer: Writer, client: Client, store: ArtifactStore, nats_url: str
    ) -> None:
        self.log = log
        self.writer = writer
        self.client = client
        self.store = store
        self.nats_url = nats_url
        self.issuer_seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_ACCOUNT)
        self._stack = AsyncExitStack()

    async def start_worker(self, **config: Any) -> RunningWorker:
        committed, appended = LocalSignal(), LocalSignal()
        log = self._stack.enter_context(
            EventLog.open(self.log.conninfo, secrets=SECRETS, require_durable=False)
        )
        writer = await self._stack.enter_async_context(Writer(log, now, committed=committed))
        client = await connect(self.nats_url)
        self._stack.push_async_callback(client.close)
        worker = Worker(
            log=log,
            writer=writer,
            client=client,
            artifacts=self.store,
            committed=committed,
            appended=appended,
            clock=now,
            ids=new_id,
            holder=str(uuid4()),
            issuer_seed=self.issuer_seed,
            config=WorkerConfig(**{"supervision": QUICK, **config}),
        )
        running = RunningWorker(build_loops(worker), client)
        self._stack.push_async_callback(running.stop)
        return running

    async def run(self, handler: Callable[[Any, UnitOfWork], Any], command: Any) -> Any:
        context = Context(
            command_id=new_id(), actor=Actor("system", "test"), correlation_id="story"
        )
        return (await self.writer.run(handler, command, context)).result

    async def server(
        self, *, slots: int = 2, public_key: str = "UNUSED", server_id: UUID | None = None
    ) -> UUID:
        """An enrolled server whose agent has yet to say something."""
        server_id = server_id or new_id()
        await self.run(
            register_server,
            RegisterServer(
                server_id=server_id,
                name=f"gpu-{server_id}",
                max_concurrent_tasks=slots,
                token_digest="digest",
                token_expires_at=now() + timedelta(hours=1),
            ),
        )
        enrol = EnrolServer(
            server_id=server_id,
            token_digest="digest",
            public_key=public_key,
            host="host",
            at=now(),
        )
        await self.run(enrol_server, enrol)
        return server_id

    async def user(self, balance_fen: int = 0) -> UUID:
        """A user with money, whose key seals what they write."""
        user_id = new_id()
        await self.run(keep_key, SubjectKey(user_id=user_id, key=bytes(32)))
        if balance_fen:
            code_id = uuid4()
            codes = (NewCode(code_id, "OWL-ABCD-****-****", "ciphertext"),)
            issue = IssueCodes(
                batch_id=new_id(),
                codes=codes,
                amount_fen=balance_fen,
                max_uses=1,
                expires_at=None,
                description="",
                at=now(),
            )
            await self.run(issue_codes, issue)
            redeem = RedeemCode(code_id=code_id, user_id=user_id, record_id=new_id(), at=now())
            await self.run(redeem_code, redeem)
        return user_id

    async def submit(self, user_id: UUID | None = None, order: TaskOrder = FREE) -> UUID:
        task_id = new_id()
        command = SubmitTask(
            task_id=task_id,
            user_id=user_id or await self.user(),
            order=order,
            is_admin=False,
            at=now(),
        )
        await self.run(submit_task, command)
        return task_id

    async def cancel(self, task_id: UUID) -> None:
        user_id = self.task(task_id).user_id
        command = CancelTask(task_id=task_id, user_id=user_id, is_admin=False, at=now())
        await self.run(cancel_task, command)

    async def configure(self, **changes: Any) -> None:
        await self.run(change_configuration, ChangeConfiguration(changes=changes))

    def task(self, task_id: UUID) -> Task:
        state = TASK.fold(event.fact for event in self.log.read_streams([task_id]))
        assert state is not None
        return state

    def wallet(self, user_id: UUID) -> Wallet:
        events = self.log.read_streams([account_stream(user_id)])
        return WALLET.fold(event.fact for event in events)

    def facts(self, kind: type[F], stream: UUID | None = None) -> list[F]:
        """All facts of a kind, of one stream or of the log."""
        events = self.story() if stream is None else self.log.read_streams([stream])
        return [event.fact for event in events if isinstance(event.fact, kind)]

    def story(self) -> list[Recorded[Any]]:
        """The log from its beginning."""
        return to_its_end(self.log.feed())

    def heard(self, kind: type[F]) -> list[F]:
        """All facts of a kind in the telemetry log."""
        events = to_its_end(self.log.telemetry.feed())
        return [event.fact for event in events if isinstance(event.fact, kind)]

    async def phase(self, task_id: UUID, phase: str, within_s: float = SOON_S) -> Task:
        """The task, as soon as it is in ``phase``."""
        await eventually(lambda: self.task(task_id).phase == phase, within_s)
        return self.task(task_id)


def to_its_end(feed: EventFeed) -> list[Recorded[Any]]:
    """A log from its beginning: one read may give what is at hand, though more follows."""
    events: list[Recorded[Any]] = []
    while found := feed.read(len(events), 10_000):
        events.extend(found)
    return events


async def connect(url: str, **options: Any) -> Client:
    async def ignore(_: Exception) -> None:
        return

    return await nats.connect(
        url,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.1,
        connect_timeout=2,
        **{"error_cb": ignore, **options},
    )


@asynccontextmanager
async def open_plant(database_url: str, nats_url: str, directory: Path) -> AsyncIterator[Plant]:
    async with AsyncExitStack() as stack:
        log = stack.enter_context(
            EventLog.open(database_url, secrets=SECRETS, require_durable=False)
        )
        writer = await stack.enter_async_context(Writer(log, now))
        client = await connect(nats_url)
        stack.push_async_callback(client.close)
        store = open_store((directory / "artifacts").as_uri())
        plant = Plant(log, writer, client, store, nats_url)
        stack.push_async_callback(plant._stack.aclose)
        yield plant
