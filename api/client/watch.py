"""Watches one task until it has ended: a live bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from msgspec import Struct
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from api.client.answers import Task, read
from api.client.http import ApiClient, ApiRefused, ApiUnreachable
from api.client.show import why_unsuccessful, why_waiting
from api.client.wording import clean, yuan

_LINE_EVERY_PERCENT: Final = 10.0


class Pace(Struct, frozen=True, kw_only=True):
    """How often to look, and how long to bear an API that does not answer."""

    often_s: float = 0.25
    seldom_s: float = 1.0
    often_for_s: float = 60.0
    silence_s: float = 60.0


class WatchedTooLong(Exception):
    """The task had not ended when the time to watch it was over; ``task`` is how it stood."""

    def __init__(self, task: Task, limit_s: float) -> None:
        self.task = task
        super().__init__(f"not ended within {limit_s:.0f} s: it is {headline(task)}")


async def watch(
    client: ApiClient,
    task_id: str,
    console: Console,
    *,
    limit_s: float | None = None,
    pace: Pace | None = None,
) -> Task:
    """Show the task's progress until it has ended; returns how it ended.

    Raises:
        ApiRefused: the API no longer shows the task to us.
        ApiUnreachable: the API was silent for too long.
        WatchedTooLong: the task had not ended after ``limit_s``.
    """
    began = time.monotonic()
    display = _Bar(console) if console.is_terminal else _Lines(console)
    with display.running():
        async for task in states(client, task_id, pace or Pace()):
            display.show(task)
            if task.has_ended:
                return task
            if limit_s is not None and time.monotonic() - began > limit_s:
                raise WatchedTooLong(task, limit_s)
    raise AssertionError("states go on until the task has ended")


async def states(client: ApiClient, task_id: str, pace: Pace) -> AsyncIterator[Task]:
    """How the task stands, again and again. A short silence of the API is waited out."""
    began = heard = time.monotonic()
    while True:
        try:
            task = read(Task, await client.get(f"/tasks/{task_id}"))
        except (ApiUnreachable, ApiRefused) as error:
            passing = not isinstance(error, ApiRefused) or error.code == "SERVER_UNAVAILABLE"
            if not passing or time.monotonic() - heard > pace.silence_s:
                raise
        else:
            heard = time.monotonic()
            yield task
            if task.has_ended:
                return
        is_new = time.monotonic() - began < pace.often_for_s
        await asyncio.sleep(pace.often_s if is_new else pace.seldom_s)


def headline(task: Task) -> str:
    """Where the task stands, in a few words."""
    again = f", attempt {task.attempt}" if task.attempt > 1 else ""
    match task.status:
        case "pending":
            return f"pending: {why_waiting(task)}{again}"
        case "running":
            return f"{task.phase or 'running'}{again}"
        case "completed":
            return "completed"
        case _:
            return f"{task.status}: {why_unsuccessful(task)}"


class _Bar:
    """A live bar, for a terminal."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TextColumn("{task.fields[cost]}", style="yellow"),
            TimeElapsedColumn(),
            console=console,
        )
        self._row = self._progress.add_task("submitted", total=None, cost=yuan(0))

    def running(self) -> AbstractContextManager[object]:
        return self._progress

    def show(self, task: Task) -> None:
        waits = task.status == "pending"
        self._progress.update(
            self._row,
            description=clean(headline(task)).plain,
            total=None if waits else 100.0,
            completed=0.0 if waits else task.progress,
            cost=yuan(task.cost),
        )
        if task.has_ended:
            self._progress.stop_task(self._row)


class _Lines:
    """A line for each change worth one, for a file or a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""
        self._next_percent = 0.0

    def running(self) -> AbstractContextManager[object]:
        return nullcontext()

    def show(self, task: Task) -> None:
        line = headline(task)
        moved = task.status == "running" and task.progress >= self._next_percent
        if line == self._last and not moved:
            return
        self._last = line
        self._next_percent = task.progress // _LINE_EVERY_PERCENT * _LINE_EVERY_PERCENT
        self._next_percent += _LINE_EVERY_PERCENT
        self._console.print(clean(f"{task.progress:5.1f} %  {yuan(task.cost)}  {line}"))
