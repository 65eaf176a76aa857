"""A runner that is told of what is new does not look for it as well."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from commands.loop import end
from commands.signals import LocalSignal
from domain.envelope import Recorded
from projections.catalogue import BUSINESS
from projections.runner import Runner, RunnerConfig
from tests.projections.feed import ListFeed
from tests.projections.history import RandomFarm


class CountingFeed(ListFeed):
    """How often it was asked."""

    asked = 0

    def read(self, after: int, limit: int) -> Sequence[Recorded[Any]]:
        self.asked += 1
        return super().read(after, limit)


class Wake(LocalSignal):
    """``idle`` tells up to where somebody has nothing left to do but wait."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = LocalSignal()

    async def wait(self, after: int, timeout_s: float) -> int:
        self.idle.notify(after)
        return await super().wait(after, timeout_s)


def test_run_looks_no_more_often_than_it_is_told_that_there_is_something(
    read_url: str,
) -> None:
    feed, events = CountingFeed(), RandomFarm(9).happen(20)

    async def follow() -> int:
        wake = Wake()
        slow = RunnerConfig(poll_first_s=60, poll_longest_s=60, look_every_s=60)
        runner = Runner(feed, read_url, BUSINESS, projected=None, config=slow)
        running = asyncio.create_task(runner.run(wake))
        for event in events:
            feed.events.append(event)
            wake.notify(event.position)
            assert await wake.idle.wait(event.position - 1, 20) >= event.position
        asked = feed.asked
        await end([running])
        return asked

    assert asyncio.run(follow()) <= len(events) + 1
