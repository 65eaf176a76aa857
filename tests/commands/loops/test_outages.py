"""What is out of reach is said once and when it is back, not at each of ten tries a second."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from commands.loop import Config, Loop, Supervised
from commands.outage import Outage
from commands.team_lease import TeamLease
from domain.envelope import Fence
from domain.ports import OutOfReach

TRIES = 5
SETTLED_S = 0.02
AT_ONCE = Config(
    retry_first_s=0.0, failures_most=TRIES, standby_poll_s=0.0, settled_after_s=SETTLED_S
)


class Away(TeamLease):
    """A lease of which so many are refused by the wire, and the next by another holder."""

    def __init__(self, times: int) -> None:
        super().__init__("", "team", "me")
        self.times = times

    async def acquire(self) -> Fence | None:
        self.times -= 1
        if self.times >= 0:
            raise OutOfReach("nobody there")
        return None


class Failing:
    """A loop that fails as told."""

    name = "loop"

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def run(self, fence: Fence) -> None:
        raise self.error


def supervised(loops: Sequence[Loop], lease: TeamLease | None) -> Supervised:
    return Supervised(
        "team", loops, lease, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC), config=AT_ONCE
    )


def events(lines: Sequence[Any]) -> list[str]:
    return [
        line["event"] for line in lines if "reach" in line["event"] or "failed" in line["event"]
    ]


@pytest.mark.anyio
async def test_a_lease_that_is_out_of_reach_is_said_once_and_when_it_is_back() -> None:
    team = supervised([], Away(TRIES))
    with capture_logs() as lines:
        for _ in range(TRIES + 2):
            await team.step()
    assert events(lines) == ["lease.out_of_reach", "lease.in_reach"]


@pytest.mark.anyio
@pytest.mark.parametrize("error", [OutOfReach("away"), psycopg.OperationalError("away")])
async def test_a_loop_that_reaches_nothing_is_said_once_without_a_traceback(
    error: Exception,
) -> None:
    team = supervised([Failing(error)], None)
    with capture_logs() as lines:
        await team.step()
        await team.step()
    assert events(lines) == ["loop.out_of_reach"]
    assert "exc_info" not in lines[-1]
    assert team.status.loops[0].failures == TRIES


class Back(Failing):
    """Fails once, then works; cannot reach anything the third time."""

    times = 0

    async def run(self, fence: Fence) -> None:
        self.times += 1
        if self.times == 2:
            await asyncio.sleep(10 * SETTLED_S)
        await super().run(fence)


@pytest.mark.anyio
async def test_a_loop_that_works_again_is_said_and_so_is_the_next_outage() -> None:
    team = supervised([Back(OutOfReach("away"))], None)
    with capture_logs() as lines:
        await team.step()
    assert events(lines) == ["loop.out_of_reach", "loop.in_reach", "loop.out_of_reach"]


def test_an_outage_that_goes_on_is_said_once_a_minute() -> None:
    now = [0.0]
    outage = Outage("thing", clock=lambda: now[0], team="team")
    with capture_logs() as lines:
        for now[0] in range(150):
            outage.goes_on(OutOfReach("away"))
        outage.is_over()
        outage.is_over()
    assert [(line["event"], line.get("for_s"), line.get("after_s")) for line in lines] == [
        ("thing.out_of_reach", 0.0, None),
        ("thing.out_of_reach", 60.0, None),
        ("thing.out_of_reach", 120.0, None),
        ("thing.in_reach", None, 149.0),
    ]


@pytest.mark.anyio
async def test_a_loop_that_fails_otherwise_is_shown_each_time() -> None:
    team = supervised([Failing(psycopg.errors.DiskFull("full"))], None)
    with capture_logs() as lines:
        await team.step()
    assert events(lines) == ["loop.failed"] * TRIES
