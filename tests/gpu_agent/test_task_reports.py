"""What an attempt says about itself: often enough to be watched, and no oftener."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from commands.loop import end
from domain.fleet.messages import REPORT_DECODER, Advanced, Assigned
from gpu_agent.outbox import Config, Outbox
from gpu_agent.spool import open_spool
from gpu_agent.task_reports import PROGRESS_EVERY_S, TaskReports
from tests.gpu_agent.conftest import until

pytestmark = pytest.mark.anyio

SERVER_ID = UUID(int=7)


@asynccontextmanager
async def reporting(tmp_path: Path) -> AsyncIterator[tuple[TaskReports, list[Advanced]]]:
    """The reports of one attempt, and what of its progress was published."""
    heard: list[Advanced] = []

    async def publish(_subject: str, payload: bytes) -> bool:
        report = REPORT_DECODER.decode(payload)
        if isinstance(report, Advanced):
            heard.append(report)
        return True

    spool = open_spool(tmp_path / "spool.sqlite")
    outbox = Outbox(
        server_id=SERVER_ID,
        spool=spool,
        publish=publish,
        monotonic=time.monotonic,
        config=Config(),
    )
    running = asyncio.create_task(outbox.run())
    work = Assigned(
        task_id=uuid4(),
        attempt=1,
        task_type="test",
        config={},
        timeout_s=60,
        gpu_uuids=(),
        position=1,
    )
    try:
        yield (
            TaskReports(
                work,
                server_id=SERVER_ID,
                outbox=outbox,
                clock=lambda: datetime.now(UTC),
                monotonic=time.monotonic,
                ids=uuid4,
                sandbox="none",
            ),
            heard,
        )
    finally:
        await end([running])
        spool.close()


async def test_the_newest_progress_is_said_soon_even_when_nothing_follows(
    tmp_path: Path,
) -> None:
    async with reporting(tmp_path) as (reports, heard):
        for percent in (0, 20, 70, 45):
            reports.advanced(percent, "measuring")
        await until(lambda: len(heard) == 2)
        assert [report.progress for report in heard] == [0, 45]
        reports.close()


async def test_however_often_a_task_advances_its_reports_keep_their_pace(
    tmp_path: Path,
) -> None:
    async with reporting(tmp_path) as (reports, heard):
        async with asyncio.timeout(30):
            while len(heard) < 4:
                reports.advanced(50 + len(heard), "measuring")
                await asyncio.sleep(0.002)
        reports.close()
    gaps_s = [(b.sent_at - a.sent_at).total_seconds() for a, b in pairwise(heard)]
    assert min(gaps_s) > 0.8 * PROGRESS_EVERY_S


async def test_nothing_is_said_of_the_progress_of_an_attempt_that_is_over(
    tmp_path: Path,
) -> None:
    async with reporting(tmp_path) as (reports, heard):
        reports.advanced(0, "")
        reports.advanced(92, "")
        reports.close()
        reports.advanced(95, "")
        loop = asyncio.get_running_loop()
        later = loop.create_future()
        loop.call_later(2 * PROGRESS_EVERY_S, later.set_result, None)
        await later
        assert [report.progress for report in heard] == [0]
