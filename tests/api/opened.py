"""Everything that ``owl serve`` stands on, for a server of tests."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from uuid import UUID

import psycopg
from msgspec.structs import replace

from api.passwords import CHEAP, Passwords
from api.platform import HttpConfig, Platform
from api.reading import open_pool
from commands.event_log.log import EventLog
from commands.event_log.private_texts import PrivateTexts
from commands.event_log.secrets import Secrets
from commands.loop import end
from commands.signals import LocalSignal
from commands.signatures import KeysAtHand, SigningKey
from commands.throttle import Config, Limit, Throttle
from commands.writer import Writer, WriterConfig
from domain.ids import uuid7
from domain.ports import OutOfReach
from projections.audit.snapshots import Snapshots
from projections.catalogue import BUSINESS, TELEMETRY
from projections.migrate import prepare
from projections.position import ReadPosition
from projections.runner import Runner, RunnerConfig

KEY = b"k" * 32
REQUEST_KEY = b"r" * 32
AUDIT_SEED = bytes(range(32))
KEPT = Snapshots(b"k" * 32)
SECRETS = Secrets(pepper=b"p" * 32, sealing_key=b"s" * 32)
UNHURRIED = Config(
    login_address=Limit(10_000, 900),
    redeem_address=Limit(10_000, 900),
    redeem_all=Limit(10_000, 60),
    register_address=Limit(10_000, 3_600),
    register_all=Limit(10_000, 3_600),
)
"""All tests guess, and register, from one address."""

PATIENT_S = 20.0
"""A pause of a busy machine is no outage: what is waited for may take longer than promised."""

TOLD = RunnerConfig(poll_first_s=0.25)
UNTOLD = RunnerConfig(poll_first_s=0.1, poll_longest_s=0.1)
"""Looks for news cost a test's server more than its requests: most of them are signalled."""


def now() -> datetime:
    return datetime.now(UTC)


def new_id() -> UUID:
    return uuid7(int(now().timestamp() * 1000), os.urandom(10))


class Files:
    """An artifact store in memory: what an object store gives, without the disk."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def put(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        self._files[digest] = content
        return digest

    async def get(self, sha256: str) -> AsyncIterator[bytes]:
        if sha256 not in self._files:
            raise FileNotFoundError(sha256)
        yield self._files[sha256]


@asynccontextmanager
async def open_platform(
    database_url: str, files: Files, throttles: Config, *, patient: bool
) -> AsyncIterator[Platform]:
    """Everything that ``owl serve`` stands on, with the projections in the same process."""
    prepare(database_url)
    writing = WriterConfig()
    config = HttpConfig(
        token_keys={"current": KEY},
        request_key=REQUEST_KEY,
        agent_nats_urls=("nats://127.0.0.1:4222",),
        password_min_length=6,
    )
    if patient:
        writing = replace(writing, deadline_s=PATIENT_S)
        config = replace(config, read_deadline_s=PATIENT_S, position_wait_s=PATIENT_S)
        throttles = replace(throttles, deadline_s=PATIENT_S)
    async with AsyncExitStack() as stack:
        log = stack.enter_context(
            EventLog.open(database_url, secrets=SECRETS, require_durable=False)
        )
        committed, projected = LocalSignal(), LocalSignal()
        writer = await stack.enter_async_context(
            Writer(log, now, committed=committed, config=writing)
        )
        pool = await stack.enter_async_context(open_pool(database_url, most=8))
        throttle = await stack.enter_async_context(
            Throttle(database_url, SECRETS, now, config=throttles)
        )
        feed, telemetry = log.feed(), log.telemetry.feed()
        told = Runner(feed, database_url, BUSINESS, projected=projected, config=TOLD)
        untold = Runner(telemetry, database_url, TELEMETRY, projected=None, config=UNTOLD)
        runners = [(told, committed), (untold, LocalSignal())]
        tasks = [asyncio.create_task(_keep_running(*each)) for each in runners]
        stack.push_async_callback(end, tasks)
        passwords = Passwords(CHEAP)
        stack.callback(passwords.close)
        yield Platform(
            writer=writer,
            pool=pool,
            position=ReadPosition(pool, projected),
            clock=now,
            ids=new_id,
            secrets=SECRETS,
            config=config,
            artifacts=files,
            passwords=passwords,
            throttle=throttle,
            committed=committed,
            notary_keys=KeysAtHand(lambda: [SigningKey(AUDIT_SEED)]),
            writer_counts=writer.counts,
            broker_connected=lambda: False,
            texts=PrivateTexts(SECRETS),
            snapshots=KEPT,
        )


async def _keep_running(runner: Runner, wake: LocalSignal) -> None:
    while True:
        with suppress(psycopg.OperationalError, OutOfReach):
            await runner.run(wake)
        await asyncio.sleep(0.1)  # as the platform's supervisor does
