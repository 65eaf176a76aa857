"""The attempts that this agent has: taken on, run, stopped, reported; each of them once.

Law: an assignment heard twice runs once, and every attempt that was taken on is reported as
ended exactly once in each life of the agent, whatever happens to it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal, TypeAlias
from uuid import UUID

import structlog
from msgspec import Struct

from domain.fleet.messages import (
    Assigned,
    CancelRequested,
    Drained,
    Ended,
    RunningTask,
    WorkMessage,
)
from domain.source_url import wants_files
from domain.tasks.events import Reason
from gpu_agent.children import Children
from gpu_agent.deliveries import Deliveries, NotDelivered
from gpu_agent.media import MediaSource
from gpu_agent.outbox import Outbox
from gpu_agent.supervisor import Attempt, Job, Limits, Outcome, StopReason
from gpu_agent.task_reports import TaskReports

Key: TypeAlias = tuple[UUID, int]
SIMULATED: Final = "SIM-"
REMEMBERED_ENDS: Final = 10_000
_LOG = structlog.get_logger(__name__)

# How a stop of the agent's own making is reported.
_STOPPED: Final[dict[StopReason, tuple[Literal["cancelled", "failed"], Reason | None]]] = {
    "cancelled": ("cancelled", None),
    "agent_stopping": ("failed", "agent_lost"),
    "lease_lost": ("failed", "agent_lost"),
}


class Here(Struct, frozen=True, kw_only=True):
    """What every attempt on this agent shares."""

    server_id: UUID
    children: Children
    media: MediaSource
    outbox: Outbox
    deliveries: Deliveries
    limits: Limits
    most_tasks: int
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    ids: Callable[[], UUID]


class _Current(Struct):
    attempt: Attempt
    reports: TaskReports
    why: StopReason | None = None
    delivering: asyncio.Task[None] | None = None


class Workload:
    """All attempts of this life of the agent."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._current: dict[Key, _Current] = {}
        self._ended: OrderedDict[Key, None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self.changed: Callable[[], None] = lambda: None
        """Called when an attempt came or went."""
        self.closed = False
        """No more work is taken on."""
        self.drained = False
        """An operator wants no new work here: for display."""

    def running(self) -> tuple[RunningTask, ...]:
        """What the agent has, as heartbeats show it."""
        return tuple(current.reports.state for current in self._current.values())

    def take(self, message: WorkMessage) -> None:
        """Act on the platform's word."""
        match message:
            case Assigned():
                self._assigned(message)
            case CancelRequested(task_id=task_id, attempt=attempt):
                self._cancel((task_id, attempt))
            case Drained(drained=drained):
                self.drained = drained

    def give_up_interrupted(self, interrupted: tuple[Key, ...]) -> None:
        """Report what ran when the agent's last life ended: its processes died with it."""
        for key in interrupted:
            message = "the agent was restarted while the task ran"
            self._report(key, Outcome(kind="failed", run_ms=0, message=message), "agent_lost")

    def stop_all(self, why: StopReason) -> None:
        """End every attempt."""
        for current in self._current.values():
            self._stop(current, why)

    async def finished(self) -> None:
        """Return once no attempt runs any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _assigned(self, assigned: Assigned) -> None:
        key = (assigned.task_id, assigned.attempt)
        if key in self._current or key in self._ended:
            return  # said again: we have it, or its end is on its way
        refusal = self._refusal(assigned)
        if refusal is not None:
            self._report(
                key, Outcome(kind="failed", run_ms=0, message=refusal), "agent_refused"
            )
            return
        here = self._here
        reports = TaskReports(
            assigned,
            server_id=here.server_id,
            outbox=here.outbox,
            clock=here.clock,
            monotonic=here.monotonic,
            ids=here.ids,
            sandbox=here.children.sandbox,
        )
        attempt = Attempt(
            _job(assigned),
            children=here.children,
            media=here.media,
            listener=reports,
            limits=here.limits,
            monotonic=here.monotonic,
        )
        current = self._current[key] = _Current(attempt, reports)
        task = asyncio.get_running_loop().create_task(self._run(key, current))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refusal(self, assigned: Assigned) -> str | None:
        if self.closed:
            return "the agent is stopping"
        if len(self._current) >= self._here.most_tasks:
            return f"the agent runs {self._here.most_tasks} tasks already"
        if assigned.task_type not in self._here.children.hello.task_types:
            return f"the agent has no executor for {assigned.task_type!r}"
        if wants_files(assigned.config) and not self._here.media.serves_files:
            return "the agent has no media directory"
        return None

    def _cancel(self, key: Key) -> None:
        current = self._current.get(key)
        if current is not None:
            self._stop(current, "cancelled")
        elif key not in self._ended:
            # It never came here, or in another life; it will not run here now.
            self._report(key, Outcome(kind="stopped", run_ms=0), None)

    def _stop(self, current: _Current, why: StopReason) -> None:
        if current.why is None:
            current.why = why
            current.attempt.stop(why)
            if current.delivering is not None:
                current.delivering.cancel()

    async def _run(self, key: Key, current: _Current) -> None:
        try:
            outcome = await current.attempt.run()
            current.reports.close()
            if outcome.files and outcome.directory is not None:
                outcome = await self._deliver(current, outcome)
        except Exception as error:  # noqa: BLE001 - outermost: the attempt must end, reported
            _LOG.exception("attempt_broke", task_id=str(key[0]))
            current.reports.close()
            outcome = Outcome(kind="failed", run_ms=0, reason="internal", message=repr(error))
        current.attempt.clean_up()
        del self._current[key]
        self._report_outcome(key, current, outcome)
        self.changed()

    async def _deliver(self, current: _Current, outcome: Outcome) -> Outcome:
        """The outcome, once its files are delivered; a stop meanwhile ends the waiting."""
        assert outcome.directory is not None
        if current.why is not None:
            return Outcome(kind="stopped", run_ms=outcome.run_ms)
        current.delivering = asyncio.create_task(
            self._here.deliveries.deliver(outcome.files, outcome.directory)
        )
        try:
            await current.delivering
        except asyncio.CancelledError:
            if not current.delivering.cancelled():
                raise  # it is this whole run that is cancelled
            return Outcome(kind="stopped", run_ms=outcome.run_ms)
        except NotDelivered as error:
            return Outcome(
                kind="failed", run_ms=outcome.run_ms, reason="agent_lost", message=str(error)
            )
        return outcome

    def _report_outcome(self, key: Key, current: _Current, outcome: Outcome) -> None:
        if outcome.kind == "stopped" and current.why is not None:
            _, reason = _STOPPED[current.why]
            self._report(key, outcome, reason)
        else:
            self._report(key, outcome, outcome.reason)

    def _report(self, key: Key, outcome: Outcome, reason: Reason | None) -> None:
        """Post how an attempt ended, and remember that it did."""
        task_id, attempt = key
        ended = Ended(
            report_id=self._here.ids(),
            server_id=self._here.server_id,
            task_id=task_id,
            attempt=attempt,
            sent_at=self._here.clock(),
            outcome=_word(outcome, reason),
            run_ms=outcome.run_ms,
            reason=reason,
            error_message=outcome.message[:2_000],
            result=outcome.result,
            artifacts=outcome.files,
        )
        self._here.outbox.post(ended, keep=True)
        self._here.outbox.end(task_id, attempt)
        self._ended[key] = None
        while len(self._ended) > REMEMBERED_ENDS:
            self._ended.popitem(last=False)


def _word(
    outcome: Outcome, reason: Reason | None
) -> Literal["completed", "failed", "cancelled", "refused"]:
    if outcome.kind == "completed":
        return "completed"
    if reason is None:
        return "cancelled"
    return "refused" if reason == "agent_refused" else "failed"


def _job(assigned: Assigned) -> Job:
    return Job(
        task_type=assigned.task_type,
        config=assigned.config,
        timeout_s=float(assigned.timeout_s),
        # a simulated device is nothing that a decoder could open
        gpu_uuids=tuple(u for u in assigned.gpu_uuids if not u.startswith(SIMULATED)),
    )
