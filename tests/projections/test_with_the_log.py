"""The read side on the real log: what one wrote one reads, from the first try on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg_pool import AsyncConnectionPool

from commands import recharge
from commands.accounts import RegisterUser, register_user
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from commands.event_log.telemetry import TelemetryEntry
from commands.loop import end
from commands.signals import LocalSignal
from commands.writer import Writer
from domain.envelope import Actor, Context
from domain.fleet.messages import HostSample
from domain.telemetry.events import HeartbeatReceived
from projections.catalogue import BUSINESS, TELEMETRY
from projections.gpu_status import GPU_STATUS
from projections.migrate import prepare
from projections.position import ReadPosition
from projections.rebuild import Log, rebuild
from projections.runner import Runner
from projections.users import user_by_id
from tests.projections.tables import finish, naive, stored

SECRETS = Secrets(pepper=b"p" * 32, sealing_key=b"s" * 32)
APPEND_LOCK = (7305068, 1)


def now() -> datetime:
    return datetime.now(UTC)


def context() -> Context:
    return Context(command_id=uuid4(), actor=Actor("system", "test"), correlation_id="r-1")


@pytest.fixture(params=["database_url", "postgres15"])
def read_url(request: pytest.FixtureRequest) -> str:
    """A fresh database with every read model, on the newest PostgreSQL and on the oldest."""
    url: str = request.getfixturevalue(request.param)
    prepare(url)
    return url


def registration(user: UUID) -> RegisterUser:
    return RegisterUser(
        user_id=user,
        email=f"{user.hex}@example.com",
        username=user.hex[:12],
        full_name="猫头鹰",
        password_hash="-",
        email_claim=uuid4(),
        username_claim=uuid4(),
        subject_key=user.bytes * 2,
    )


async def write_and_read(url: str, log: EventLog, rounds: int) -> None:
    """Redeems a code for a new user and reads the balance, each time at once."""
    committed, projected = LocalSignal(), LocalSignal()
    runner = Runner(log.feed(), url, BUSINESS, projected=projected)
    running = asyncio.create_task(runner.run(committed))
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        url, min_size=1, max_size=2, open=False, kwargs={"options": "-c timezone=UTC"}
    )
    async with pool, Writer(log, now, committed=committed) as writer:
        position = ReadPosition(pool, projected)
        for _ in range(rounds):
            user, code = uuid4(), uuid4()
            await writer.run(register_user, registration(user), context())
            issued = recharge.IssueCodes(
                batch_id=uuid4(),
                codes=(recharge.NewCode(code, "OWL-ABCD-****-****", "sealed"),),
                amount_fen=5_000,
                max_uses=1,
                expires_at=None,
                description="",
                at=now(),
            )
            await writer.run(recharge.issue_codes, issued, context())
            redeemed = recharge.RedeemCode(
                code_id=code, user_id=user, record_id=uuid4(), at=now()
            )
            receipt = await writer.run(recharge.redeem_code, redeemed, context())
            assert await position.wait(receipt.position, 10)
            async with pool.connection() as connection:
                me = await user_by_id(connection, user)
            assert me is not None
            assert (me.balance_fen, me.full_name) == (5_000, "猫头鹰")
        await position.close()
    await end([running])


def test_a_write_is_read_at_once_and_a_rebuild_finds_the_same_rows(read_url: str) -> None:
    with EventLog.open(read_url, secrets=SECRETS, require_durable=False) as log:
        asyncio.run(write_and_read(read_url, log, rounds=12))
        events = log.feed().read(0, 10_000)
        for model in BUSINESS:
            assert stored(read_url, model) == naive(model, events)
        door = Log(feed=log.feed(), history=log.history(), append_lock=APPEND_LOCK)
        for rebuilt in rebuild(read_url, door, BUSINESS, progress=lambda _: None):
            assert (rebuilt.compared, rebuilt.differing) == (True, ())


def test_heartbeats_of_the_telemetry_log_become_the_status_of_servers(read_url: str) -> None:
    with EventLog.open(read_url, secrets=SECRETS, require_durable=False) as log:
        log.telemetry.ensure_partitions(now().date())
        server = uuid4()
        entries = [
            TelemetryEntry(
                stream=server,
                fact=HeartbeatReceived(
                    server_id=server,
                    boot_id=server,
                    sequence=n,
                    sent_at=now(),
                    host=HostSample(),
                ),
                recorded_at=now(),
                actor=Actor("agent", str(server)),
                command_id=uuid4(),
                correlation_id="r-1",
                stream_sequence=n,
            )
            for n in range(1, 5)
        ]
        log.telemetry.append(entries, stream_sequence=4)
        runner = Runner(log.telemetry.feed(), read_url, TELEMETRY, projected=None)
        finish(runner)
        runner.close()
        (row,) = stored(read_url, GPU_STATUS)["gpu_status"].values()
    assert row.sequence == 4
