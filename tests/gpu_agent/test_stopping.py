"""A task that is told to stop is dead, with all it started, however it likes that."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from gpu_agent.supervisor import Limits
from tests.gpu_agent.conftest import Diary, OpenChildren, attempt, offspring, until

pytestmark = pytest.mark.anyio

WITHIN_S = 30  # for what would else take a minute, on a machine with other work


async def test_a_task_that_is_told_to_stop_stops_by_itself(open_children: OpenChildren) -> None:
    diary = Diary()
    async with open_children() as children:
        run = attempt(children, diary, "test", {"seconds": 60}, limits=Limits(grace_s=120))
        running = asyncio.create_task(run.run())
        await until(lambda: bool(diary.progress))
        run.stop("cancelled")
        outcome = await asyncio.wait_for(running, WITHIN_S)
    assert outcome.kind == "stopped"


@pytest.mark.parametrize(
    ("task_type", "config"),
    [("test", {"seconds": 60, "ignore_stop": True, "output": 1}), ("ignore_everything", {})],
)
async def test_a_task_that_will_not_stop_is_killed_with_all_it_started(
    open_children: OpenChildren, task_type: str, config: dict[str, Any]
) -> None:
    diary = Diary()
    async with open_children() as children:
        run = attempt(children, diary, task_type, config)
        running = asyncio.create_task(run.run())
        await until(lambda: bool(diary.text))
        family = offspring()
        run.stop("cancelled")
        outcome = await asyncio.wait_for(running, WITHIN_S)
        alive = [process for process in family if process.is_running()]
        names = [process.name() for process in alive]
    assert outcome.kind == "stopped"
    assert "sleep" not in names


async def test_a_daemon_left_behind_is_dead_before_the_task_has_ended(
    open_children: OpenChildren, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    async with open_children() as children:
        await attempt(children, Diary(), "leave_a_daemon", {"pid_file": str(pid_file)}).run()
        assert not psutil.pid_exists(int(pid_file.read_text()))


async def test_a_task_that_runs_too_long_is_timed_out(open_children: OpenChildren) -> None:
    async with open_children() as children:
        run = attempt(children, Diary(), "test", {"seconds": 60}, timeout_s=0.2)
        outcome = await asyncio.wait_for(run.run(), WITHIN_S)
    assert (outcome.kind, outcome.reason) == ("failed", "timeout")
    assert "0.2 s" in outcome.message


async def test_a_stop_before_the_task_has_begun_is_heard(open_children: OpenChildren) -> None:
    async with open_children() as children:
        run = attempt(children, Diary(), "test", {"seconds": 60})
        run.stop("cancelled")
        outcome = await asyncio.wait_for(run.run(), WITHIN_S)
    assert outcome.kind == "stopped"


async def test_a_stopped_task_ends_though_what_outlived_its_child_holds_its_socket(
    open_children: OpenChildren,
) -> None:
    """No fork server is left to bury it, as when a sandbox was killed half made."""
    diary = Diary()
    async with open_children(standby=0) as children:
        run = attempt(children, diary, "leave_its_socket")
        running = asyncio.create_task(run.run())
        await until(lambda: bool(diary.text))
        server, *family = offspring()
        server.kill()
        try:
            run.stop("agent_stopping")
            outcome = await asyncio.wait_for(running, WITHIN_S)
        finally:
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
    assert outcome.kind == "stopped"
