"""Row 7: live projection keeps up with the log, in events/s; and how soon a write can be read.

Both sides see the same events: whole lives of tasks (submit with a hold, assign, start,
progress, complete and settle), written by 128 submitters through our writer, every commit
durable. Then the runner brings all business read models from where they stood to the head. It
reads by its own connection, decoding every event, as in a process of its own. Read models are
fsynced too, a batch at a time: what a client was told is projected stays so in a crash.

Beside the ratio: how long a writer waits until its own write can be read.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct
from psycopg_pool import AsyncConnectionPool

from api.programs.long_running import seldom_look_for_garbage
from benchmarks.measure import Options, Ratio, measure, options, tell
from commands import accounts, dispatching, fleet, recharge, task_reports, tasks
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from commands.signals import LocalSignal
from commands.writer import Writer
from domain.envelope import Actor, Context
from domain.fleet.messages import Heartbeat, HostSample
from domain.ids import uuid7
from domain.tasks.submission import TaskOrder
from projections.catalogue import BUSINESS
from projections.migrate import prepare
from projections.position import ReadPosition
from projections.runner import Runner
from tests.stack import live_stack

SUBMITTERS = 128
SYSTEM = Actor("system", "benchmark")
RATIO = Ratio(
    row=7,
    name="events projected over events appended",
    ours="ours: live projection into all read models, events/s",
    other="limit: our append of the same events, events/s",
    target=1.0,
    moonshot=2.0,
)

Run = Callable[[Callable[[Any, Any], Any], Struct], Awaitable[Any]]


def fresh_id() -> UUID:
    """A time-ordered id, as the API makes them."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


def now() -> datetime:
    """The platform's clock."""
    return datetime.now(UTC)


def context() -> Context:
    """A command's envelope, as the API makes it."""
    return Context(command_id=fresh_id(), actor=SYSTEM, correlation_id="0193c2a1-bench-request")


class Farm:
    """A platform that appends the lives of tasks and projects them."""

    def __init__(self, url: str, secrets: Secrets | None = None) -> None:
        prepare(url)
        self._url = url
        self._secrets = secrets or Secrets(pepper=os.urandom(32), sealing_key=os.urandom(32))
        self._log = EventLog.open(url, secrets=self._secrets, require_durable=True)
        self._server = fresh_id()
        self._users = [fresh_id() for _ in range(SUBMITTERS)]
        asyncio.run(self._furnish())

    def projected_per_s(self) -> float:
        """The same events into all read models, read as another process reads them."""
        with EventLog.open(self._url, secrets=self._secrets, require_durable=True) as log:
            runner = Runner(log.feed(), self._url, BUSINESS, projected=None)
            began, events = time.perf_counter(), 0
            while done := runner.step():
                events += done
            elapsed_s = time.perf_counter() - began
            runner.close()
        return events / elapsed_s

    def own_write_p50_ms(self, seconds: float) -> float:
        """From the answer of the writer until the read models have passed it."""
        return asyncio.run(self._waits(seconds))

    def close(self) -> None:
        """Give the connections back."""
        self._log.close()

    async def _furnish(self) -> None:
        """One server with room for all, users with money."""
        async with Writer(self._log, now) as writer:

            async def run(handler: Callable[[Any, Any], Any], command: Struct) -> None:
                await writer.run(handler, command, context())

            await self._enrol(run)
            await asyncio.gather(*(self._enrich(run, user) for user in self._users))

    async def _enrol(self, run: Run) -> None:
        server, at = self._server, now()
        await run(
            fleet.register_server,
            fleet.RegisterServer(
                server_id=server,
                name="gpu-1",
                max_concurrent_tasks=100_000,
                token_digest="digest",
                token_expires_at=at + timedelta(hours=1),
            ),
        )
        await run(
            fleet.enrol_server,
            fleet.EnrolServer(
                server_id=server, token_digest="digest", public_key="U", host="host", at=at
            ),
        )
        heartbeat = Heartbeat(
            report_id=server,
            server_id=server,
            boot_id=server,
            sequence=1,
            sent_at=at,
            agent_version="0.10.0",
            hostname="host",
            host=HostSample(),
        )
        await run(fleet.note_server_seen, fleet.NoteServerSeen(heartbeat=heartbeat, at=at))

    async def _enrich(self, run: Run, user: UUID) -> None:
        code = fresh_id()
        await run(
            accounts.register_user,
            accounts.RegisterUser(
                user_id=user,
                email=f"{user.hex}@example.com",
                username=user.hex[:20],
                full_name="猫头鹰",
                password_hash="-",
                email_claim=fresh_id(),
                username_claim=fresh_id(),
                subject_key=os.urandom(32),
            ),
        )
        await run(
            recharge.issue_codes,
            recharge.IssueCodes(
                batch_id=code,
                codes=(recharge.NewCode(code, "OWL-ABCD-****-****", "sealed"),),
                amount_fen=10**9,
                max_uses=1,
                expires_at=None,
                description="",
                at=now(),
            ),
        )
        redeem = recharge.RedeemCode(code_id=code, user_id=user, record_id=fresh_id(), at=now())
        await run(recharge.redeem_code, redeem)

    async def _life(self, run: Run, user: UUID) -> None:
        """Five commands, seven events."""
        task, server = fresh_id(), self._server
        order = TaskOrder(
            title="视频分析任务",
            task_type="video_analysis",
            description="分析视频内容",
            priority=2,
            estimated_duration_min=30,
            config={"video_url": "https://example.com/video.mp4", "analysis_type": "content"},
        )
        await run(
            tasks.submit_task,
            tasks.SubmitTask(task_id=task, user_id=user, order=order, is_admin=False, at=now()),
        )
        await run(
            dispatching.assign_task,
            dispatching.AssignTask(task_id=task, attempt=1, server_id=server, at=now()),
        )
        await run(
            task_reports.record_began,
            task_reports.RecordBegan(task_id=task, attempt=1, server_id=server, at=now()),
        )
        await run(
            task_reports.record_advanced,
            task_reports.RecordAdvanced(
                task_id=task, attempt=1, server_id=server, progress=40.0, note="", at=now()
            ),
        )
        await run(
            task_reports.record_ended,
            task_reports.RecordEnded(
                task_id=task,
                attempt=1,
                server_id=server,
                outcome="completed",
                run_ms=1_000,
                result={"duration_s": 12.5, "scenes": [0.0, 3.2, 7.9]},
                at=now(),
            ),
        )

    async def _waits(self, seconds: float) -> float:
        committed, projected = LocalSignal(), LocalSignal()
        runner = Runner(self._log.feed(), self._url, BUSINESS, projected=projected)
        following = asyncio.create_task(runner.run(committed))
        pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            self._url, min_size=1, max_size=2, open=False
        )
        took = []
        async with pool, Writer(self._log, now, committed=committed) as writer:
            position, end = ReadPosition(pool, projected), time.perf_counter() + seconds
            while time.perf_counter() < end:
                login = accounts.LogIn(user_id=self._users[0], token_version=1)
                receipt = await writer.run(accounts.log_in, login, context())
                began = time.perf_counter()
                assert await position.wait(receipt.position, 10)
                took.append(time.perf_counter() - began)
            await position.close()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        return statistics.median(took) * 1_000


class WorkingFarm(Farm):
    """With one writer for all figures, which knows its users as one at work does."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        seldom_look_for_garbage()
        self._loop = asyncio.Runner()
        self._writer = Writer(self._log, now)
        self._loop.run(self._writer.__aenter__())

    def appended_per_s(self, seconds: float) -> float:
        """Each user gives its next command when the last is answered, durably."""
        return self._loop.run(self._append(seconds))

    def close(self) -> None:
        """Give the connections back."""
        self._loop.run(self._writer.__aexit__(None, None, None))
        self._loop.close()
        super().close()

    async def _command(self, handler: Callable[[Any, Any], Any], command: Struct) -> None:
        await self._writer.run(handler, command, context())

    async def _append(self, seconds: float) -> float:
        head, began = self._log.feed().head(), time.perf_counter()

        async def submit(user: UUID) -> None:
            while time.perf_counter() - began < seconds:
                await self._life(self._command, user)

        await asyncio.gather(*(submit(user) for user in self._users))
        return (self._log.feed().head() - head) / (time.perf_counter() - began)


def main() -> None:
    """Run."""
    chosen: Options = options(__doc__ or "")
    with ExitStack() as open_:
        stack = open_.enter_context(live_stack(profile="durable", with_nats=False))
        farm = WorkingFarm(stack.create_database())
        open_.callback(farm.close)
        contestants: dict[str, Callable[[], float]] = {
            RATIO.other: lambda: farm.appended_per_s(chosen.seconds),
            RATIO.ours: farm.projected_per_s,
            "ours: a lone write until it can be read, p50 ms": lambda: farm.own_write_p50_ms(
                1.0
            ),
        }
        tell(measure(contestants, (RATIO,), chosen), chosen)


if __name__ == "__main__":
    main()
