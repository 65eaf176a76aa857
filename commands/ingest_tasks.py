"""Reports on tasks: each becomes one command, acknowledged once it is committed.

Many at a time: they reach the writer in the order in which they came, which commits them
together. Files are in the artifact store before the end that names them is recorded. Law: a
report that cannot be recorded now is neither acknowledged nor receipted, so it comes again;
one that hits a defect comes again with growing pauses, and is given up in the end, loudly.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Final, TypeAlias, assert_never
from uuid import UUID

import structlog
from msgspec import Struct
from msgspec.structs import replace
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from commands.artifact_intake import ArtifactIntake, ArtifactsMissing, ArtifactsUnfit
from commands.board_reader import BoardReader
from commands.bounded_cache import BoundedCache
from commands.contexts import of_report
from commands.pull import ACK, NANOSECONDS, Pull, PullFailed, delivery_of
from commands.receipts import Receipts
from commands.reports import (
    Dropped,
    Senders,
    consumer_name,
    read_report,
    replace_consumer,
)
from commands.task_reports import (
    RecordAdvanced,
    RecordBegan,
    RecordEnded,
    record_advanced,
    record_began,
    record_ended,
)
from domain.envelope import Context, Fence
from domain.errors import Refused
from domain.fleet.messages import REPORTS_STREAM, Advanced, Began, Ended
from domain.ports import Clock, CommandWriter, Committed, OutOfReach

LOG = structlog.get_logger(__name__)

PREFIX: Final = "tasks-"
SUBJECTS: Final = (
    "owl.reports.*.started",
    "owl.reports.*.progress",
    "owl.reports.*.finished",
)
TERM: Final = b"+TERM"
DEFECTS_KNOWN: Final = 10_000
"""Reports whose tries are counted; one that is forgotten is only tried longer."""
AGAIN: Final = '-NAK {{"delay": {}}}'  # nanoseconds

TaskReport: TypeAlias = Began | Advanced | Ended


class Config(Struct, frozen=True, kw_only=True):
    """Bounds and pace. ``later_most_s``: between looks whether a report can be recorded now.

    All tries of a report that hits a defect take less than the two minutes for which the broker
    knows a repeated one, so that it is never tried twice at a time.
    """

    in_flight_max: int = 4_000
    retry_after_s: float = 0.25
    again_first_s: float = 0.5
    again_most_s: float = 30.0
    later_most_s: float = 2.0
    tries_max: int = 9


def tasks_consumer(name: str, unacknowledged_max: int) -> ConsumerConfig:
    """Each report is acknowledged by itself."""
    return ConsumerConfig(
        durable_name=name,
        filter_subjects=list(SUBJECTS),
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=120,
        max_ack_pending=unacknowledged_max,
    )


def again_after_s(tried: int, first_s: float, most_s: float) -> float:
    """The pause after so many tries: doubled each time, up to a bound."""
    return min(most_s, first_s * 2.0 ** min(tried - 1, 32))


class TaskIngest:
    """Pull, record, acknowledge, give receipts."""

    name = "ingest.tasks"

    def __init__(
        self,
        client: Client,
        reader: BoardReader,
        writer: CommandWriter,
        intake: ArtifactIntake,
        receipts: Receipts,
        *,
        clock: Clock,
        config: Config | None = None,
    ) -> None:
        self._client = client
        self._reader = reader
        self._board = reader.board
        self._writer = writer
        self._intake = intake
        self._receipts = receipts
        self._clock = clock
        self._config = Config() if config is None else config
        self._flying: set[asyncio.Task[None]] = set()
        self._defects: BoundedCache[UUID, int] = BoundedCache(DEFECTS_KNOWN)
        self._beginnings = 0
        self._senders = Senders()
        self.dropped = Dropped()

    async def run(self, fence: Fence) -> None:
        """Take in until cancelled, beginning anew when the broker lost its place."""
        await self._reader.catch_up()
        try:
            while True:
                try:
                    await self._follow(fence)
                except (PullFailed, NotFoundError, NatsTimeout) as failure:
                    LOG.info("reports.begin_anew", why=repr(failure))
                await asyncio.sleep(self._config.retry_after_s)
        finally:
            for flight in self._flying:
                flight.cancel()

    async def _follow(self, fence: Fence) -> None:
        self._beginnings += 1
        name = consumer_name(PREFIX, fence.epoch, self._beginnings)
        most = self._config.in_flight_max
        await replace_consumer(self._client, PREFIX, fence.epoch, tasks_consumer(name, most))
        async with Pull(self._client, REPORTS_STREAM, name) as pull:
            while True:
                for message in await pull.take():
                    flight = asyncio.create_task(self._take_in(message))
                    self._flying.add(flight)
                    flight.add_done_callback(self._flying.discard)

    async def _take_in(self, message: Msg) -> None:
        report = read_report(message, self._senders, self.dropped)
        if not isinstance(report, Began | Advanced | Ended):
            await self._answer(message, TERM)
            return
        about = {"report": str(report.report_id), "task_id": str(report.task_id)}
        try:
            await self._record(report, self._clock())
        except (OutOfReach, ArtifactsMissing) as failure:
            LOG.warning("report.later", **about, why=repr(failure))
            delivered = delivery_of(message).delivered
            await self._again(message, delivered, self._config.later_most_s)
            return
        except Refused as refusal:  # an answer too: the agent may let go of it
            LOG.warning("report.refused", **about, why=repr(refusal))
        except Exception:
            tried = (self._defects.get(report.report_id) or 0) + 1
            if tried < self._config.tries_max:
                LOG.exception("report.failed", **about, tried=tried)
                self._defects.put(report.report_id, tried)
                await self._again(message, tried, self._config.again_most_s)
                return
            LOG.exception("report.given_up", **about, tried=tried)
            await self._give_up(report, about)
        await self._answer(message, ACK)
        self._receipts.give(report.server_id, report.report_id)

    async def _again(self, message: Msg, tried: int, most_s: float) -> None:
        delay_s = again_after_s(tried, self._config.again_first_s, most_s)
        delay_ns = round(delay_s * NANOSECONDS)
        await self._answer(message, AGAIN.format(delay_ns).encode())

    async def _give_up(self, report: TaskReport, about: dict[str, str]) -> None:
        """Answer for a report that only hits a defect, so that its task ends all the same.

        An end is recorded without what it says, as the platform's fault, which is free. Any
        other report is made up for by the end, or by the leases: what never began is lost.
        """
        self.dropped.given_up += 1
        self._defects.pop(report.report_id)
        if not isinstance(report, Ended):
            return
        failed = RecordEnded(
            task_id=report.task_id,
            attempt=report.attempt,
            server_id=report.server_id,
            outcome="failed",
            run_ms=0,
            reason="internal",
            error_message="the platform could not record how the task ended",
            at=self._clock(),
        )
        try:
            await self._writer.run(record_ended, failed, self._context(report))
        except Exception:  # the leases end it: no agent lists the attempt any more
            LOG.exception("report.end_not_recorded", **about)

    async def _answer(self, message: Msg, answer: bytes) -> None:
        """Tell the broker; it delivers again what it was not told."""
        with suppress(NatsError):
            await self._client.publish(message.reply, answer)

    async def _record(self, report: TaskReport, at: datetime) -> Committed:
        context = self._context(report)
        match report:
            case Began(task_id=task_id, attempt=attempt, server_id=server_id):
                began = RecordBegan(
                    task_id=task_id, attempt=attempt, server_id=server_id, at=at
                )
                return await self._writer.run(record_began, began, context)
            case Advanced(task_id=task_id, attempt=attempt, server_id=server_id):
                advanced = RecordAdvanced(
                    task_id=task_id,
                    attempt=attempt,
                    server_id=server_id,
                    progress=report.progress,
                    note=report.note,
                    at=at,
                )
                return await self._writer.run(record_advanced, advanced, context)
            case Ended():
                ended = await self._ended(report, at)
                return await self._writer.run(record_ended, ended, context)
            case _:
                assert_never(report)

    async def _ended(self, report: Ended, at: datetime) -> RecordEnded:
        """The command, once its files are in the store; one with unfit files is a failure."""
        ended = RecordEnded(
            task_id=report.task_id,
            attempt=report.attempt,
            server_id=report.server_id,
            outcome=report.outcome,
            run_ms=report.run_ms,
            reason=report.reason,
            error_message=report.error_message,
            result=report.result,
            artifacts=report.artifacts,
            at=at,
        )
        if report.outcome != "completed" or not report.artifacts:
            return replace(ended, artifacts=())
        if not self._board.has(report.server_id, report.task_id, report.attempt):
            await self._reader.catch_up()
        if not self._board.has(report.server_id, report.task_id, report.attempt):
            return ended  # it will be refused: take in nothing on its word
        try:
            await self._intake.take_in(report.server_id, report.artifacts)
        except ArtifactsUnfit as unfit:
            LOG.warning("artifacts.unfit", task_id=str(report.task_id), why=str(unfit))
            return replace(
                ended,
                outcome="failed",
                reason="internal",
                error_message=f"the task's files could not be kept: {unfit}",
                result={},
                artifacts=(),
            )
        return ended

    def _context(self, report: TaskReport) -> Context:
        mine = self._board.attempts.get(report.task_id)
        known = mine is not None and mine.attempt == report.attempt
        return of_report(
            report.server_id,
            report.report_id,
            correlation_id=mine.correlation_id if mine is not None and known else "",
            causation_id=mine.position if mine is not None and known else None,
        )
