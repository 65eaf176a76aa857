"""Runs one attempt of a task in a child process, from its first line to the proof of its death.

The agent trusts nothing that a child says beyond its form: output and progress are capped here,
time is measured here, and a child that does not end when told is killed with its whole group.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import structlog
from msgspec import Struct

from domain.tasks.events import Artifact, Reason
from gpu_agent.artifacts import QuotaExceeded, collect_artifacts
from gpu_agent.child_handle import Child, ChildLost
from gpu_agent.child_protocol import (
    ENCODER,
    Done,
    Failure,
    Fetch,
    Fetched,
    FetchFailed,
    FromChild,
    Line,
    Progress,
    Run,
    Stop,
)
from gpu_agent.children import Children
from gpu_agent.executors import Level
from gpu_agent.media import MediaRefused, MediaSource, NoMedia

StopReason = Literal["cancelled", "timeout", "agent_stopping", "lease_lost"]
SELF_DEATH_S: Final = 1.0
KILLED: Final = frozenset({-9, 137})
"""SIGKILL that was not ours: the kernel's answer to memory running out."""
_LOG = structlog.get_logger(__name__)


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds on what one task may make the agent carry."""

    grace_s: float = 5.0
    output_lines: int = 10_000
    output_bytes: int = 4 << 20
    artifact_count: int = 64
    artifact_bytes: int = 64 << 20
    result_bytes: int = 512 << 10
    """Of JSON: a report must fit into one message of the broker."""


class Job(Struct, frozen=True, kw_only=True):
    """What to run; ``timeout_s`` counts from its beginning, downloads included."""

    task_type: str
    config: dict[str, Any]
    timeout_s: float
    gpu_uuids: tuple[str, ...] = ()


class Outcome(Struct, frozen=True, kw_only=True):
    """How an attempt ended; its process is dead or free of it.

    ``stopped`` only for a stop that the agent itself asked for; ``files`` lie in ``directory``
    until `Attempt.clean_up`.
    """

    kind: Literal["completed", "failed", "stopped"]
    run_ms: int
    reason: Reason | None = None
    message: str = ""
    result: dict[str, Any] = {}
    files: tuple[Artifact, ...] = ()
    directory: Path | None = None


class Listener(Protocol):
    """Hears of an attempt while it runs. Called in the event loop; must not block."""

    def began(self) -> None:
        """The child has the task."""
        ...

    def advanced(self, percent: float, note: str) -> None:
        """The newest progress."""
        ...

    def wrote(self, text: str, level: Level) -> None:
        """One line of output."""
        ...


class Attempt:
    """One run of one job. Make it, `run` it once, `stop` it at any time."""

    def __init__(
        self,
        job: Job,
        *,
        children: Children,
        media: MediaSource,
        listener: Listener,
        limits: Limits,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job = job
        self._children = children
        self._media = media
        self._listener = listener
        self._limits = limits
        self._monotonic = monotonic
        self._child: Child | None = None
        self._stopped_for: StopReason | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._lines = 0
        self._bytes = 0
        self.progress = 0.0

    async def run(self) -> Outcome:
        """Run to the end. Whatever the child does, this returns an outcome in bounded time."""
        loop = asyncio.get_running_loop()
        began = self._monotonic()
        try:
            self._child = child = await self._children.take()
        except ChildLost as lost:
            return self._failed(began, "internal", str(lost))
        self._timers.append(loop.call_later(self._job.timeout_s, self.stop, "timeout"))
        if self._stopped_for is not None:  # told to stop while the child was being made
            self._tell_to_stop(child)
        try:
            child.send(self._order(child))
            self._listener.began()
            last = await self._listen(child)
            return await self._conclude(child, last, began)
        finally:
            for timer in self._timers:
                timer.cancel()
            if self._fetching is not None:
                self._fetching.cancel()

    def stop(self, why: StopReason) -> None:
        """Have it end: told first, killed after the grace. The first reason stays."""
        if self._stopped_for is None:
            self._stopped_for = why
            if self._child is not None:
                self._tell_to_stop(self._child)

    def clean_up(self) -> None:
        """Let go of the child and the attempt's files: they are delivered, or nobody's."""
        if self._child is not None:
            self._children.dismiss(self._child)

    def _tell_to_stop(self, child: Child) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
        child.send(Stop())
        later = asyncio.get_running_loop().call_later(self._limits.grace_s, child.kill)
        self._timers.append(later)

    def _order(self, child: Child) -> Run:
        return Run(
            task_type=self._job.task_type,
            config=self._job.config,
            gpu_uuids=self._job.gpu_uuids,
            workspace=str(child.workspace),
        )

    async def _listen(self, child: Child) -> FromChild | None:
        """Pass on what the child says, until its last word; ``None`` when it died without."""
        while True:
            match await child.receive():
                case Progress(percent=percent, note=note):
                    self.progress = min(100.0, max(0.0, percent))
                    self._listener.advanced(self.progress, note[:200])
                case Line(text=text, level=level):
                    self._pass_on(text, level)
                case Fetch(url=url):
                    self._fetching = asyncio.create_task(self._fetch(child, url))
                case last:
                    return last

    def _pass_on(self, text: str, level: Level) -> None:
        """Output up to the caps; the rest of a flood is read and dropped."""
        self._lines += 1
        self._bytes += len(text)
        if self._lines == self._limits.output_lines or self._bytes > self._limits.output_bytes:
            if self._lines <= self._limits.output_lines:
                self._lines = self._limits.output_lines
                self._listener.wrote("… the rest of the output was cut", "WARNING")
        elif self._lines < self._limits.output_lines:
            self._listener.wrote(text, level)

    async def _fetch(self, child: Child, url: str) -> None:
        try:
            path = await self._media.bring(url, child.workspace)
        except NoMedia as refused:
            # a name that no assignment shows, or no name server: not the user's fault, and free
            child.send(FetchFailed(message=str(refused), reason="internal"))
        except MediaRefused as refused:
            child.send(FetchFailed(message=str(refused), reason="user_error"))
        except Exception as error:  # noqa: BLE001 - outermost: the child waits for an answer
            _LOG.exception("fetch_broke")
            # no path of this host: the user reads it
            why = getattr(error, "strerror", None) or type(error).__name__
            message = f"the agent could not bring the file: {why}"
            child.send(FetchFailed(message=message, reason="internal"))
        else:
            child.send(Fetched(path=str(path)))

    async def _conclude(self, child: Child, last: FromChild | None, began: float) -> Outcome:
        run_ms = self._run_ms(began)
        if isinstance(last, Done) and last.reusable and self._stopped_for is None:
            outcome = await self._completed(last.result, run_ms, child)
            if not outcome.files and child.left_nothing():
                self._child = None
                self._children.give_back(child)
            return outcome
        # A child that hung up may be dying by another's hand: its exit code says whose.
        exit_code = await child.exit_within(SELF_DEATH_S) if last is None else None
        try:
            await child.end()
        except ChildLost as lost:
            return self._failed(began, "internal", str(lost))
        if self._stopped_for is not None and not isinstance(last, Done):
            return self._stopped(run_ms)
        match last:
            case Done(result=result):
                return await self._completed(result, run_ms, child)
            case Failure(message=message, reason=reason):
                return Outcome(kind="failed", run_ms=run_ms, reason=reason, message=message)
            case _:
                return self._died(run_ms, exit_code)

    async def _completed(self, result: dict[str, Any], run_ms: int, child: Child) -> Outcome:
        size = len(ENCODER.encode(result))
        if size > self._limits.result_bytes:
            message = f"a result of {size} bytes is more than {self._limits.result_bytes}"
            return Outcome(kind="failed", run_ms=run_ms, reason="output_quota", message=message)
        try:
            files = await collect_artifacts(
                child.artifacts,
                most=self._limits.artifact_count,
                most_bytes=self._limits.artifact_bytes,
            )
        except QuotaExceeded as exceeded:
            return Outcome(
                kind="failed", run_ms=run_ms, reason="output_quota", message=str(exceeded)
            )
        return Outcome(
            kind="completed",
            run_ms=run_ms,
            result=result,
            files=files,
            directory=child.artifacts,
        )

    def _stopped(self, run_ms: int) -> Outcome:
        if self._stopped_for == "timeout":
            message = f"ran longer than its {self._job.timeout_s:g} s"
            return Outcome(kind="failed", run_ms=run_ms, reason="timeout", message=message)
        return Outcome(kind="stopped", run_ms=run_ms)

    def _died(self, run_ms: int, exit_code: int | None) -> Outcome:
        if exit_code in KILLED:
            message = "killed by the system, as it does when memory runs out"
            return Outcome(
                kind="failed", run_ms=run_ms, reason="out_of_memory", message=message
            )
        how = "hung up" if exit_code is None else f"ended with code {exit_code}"
        message = f"the process {how} without a result"
        return Outcome(kind="failed", run_ms=run_ms, reason="internal", message=message)

    def _failed(self, began: float, reason: Reason, message: str) -> Outcome:
        run_ms = self._run_ms(began)
        return Outcome(kind="failed", run_ms=run_ms, reason=reason, message=message)

    def _run_ms(self, began: float) -> int:
        return round(1000 * (self._monotonic() - began))
