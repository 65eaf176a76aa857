"""What was posted is on disk when the agent ends, whatever it was doing then."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

from commands.loop import end
from domain.fleet.messages import Output
from gpu_agent.outbox import Config, Outbox
from gpu_agent.spool import open_spool
from tests.domain.cast import NOON

REPORT = Output(
    report_id=UUID(int=1),
    server_id=UUID(int=7),
    task_id=UUID(int=2),
    attempt=1,
    sequence=1,
    sent_at=NOON,
    lines=(),
)


class Busy(ThreadPoolExecutor):
    """Its one thread is busy until ``free``; ``asked`` once something waits for it."""

    def __init__(self) -> None:
        super().__init__(1)
        self.asked = asyncio.Event()
        self.free = threading.Event()
        super().submit(self.free.wait)

    def submit(self, act: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        self.asked.set()
        return super().submit(act, *given, **named)


async def heard(_subject: str, _payload: bytes) -> bool:
    return True


def test_a_report_whose_writing_was_cut_off_is_written_when_the_spool_is_closed(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        spool = open_spool(tmp_path / "spool")
        outbox = Outbox(
            server_id=REPORT.server_id,
            spool=spool,
            publish=heard,
            monotonic=time.monotonic,
            config=Config(),
        )
        busy = Busy()
        asyncio.get_running_loop().set_default_executor(busy)
        running = asyncio.create_task(outbox.run())
        outbox.post(REPORT, keep=True)
        await asyncio.wait_for(busy.asked.wait(), 30)
        await end([running])
        busy.free.set()
        await asyncio.to_thread(spool.close)

    asyncio.run(scene())
    with closing(open_spool(tmp_path / "spool")) as again:
        assert [pending.report_id for pending in again.pending()] == [REPORT.report_id]
