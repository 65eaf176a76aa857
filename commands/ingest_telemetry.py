"""Heartbeats and task output: from the broker to the telemetry log, exactly once and in order.

The log itself keeps the sequence up to which it has taken reports in, in the same commit, and a
new consumer starts right behind it. A message out of turn (redelivered, or after a lost
connection) is a reason to begin anew there: so nothing is skipped and nothing is doubled,
whatever the broker does. A heartbeat renews leases only once it is committed, and only if it
was sent while this listened: one that had waited is recorded, and is no sign of life.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from commands.board_reader import BoardReader
from commands.event_log.telemetry import TelemetryEntry, TelemetryLog
from commands.hearing import Hearing
from commands.presence import Presence
from commands.pull import ACK, Delivery, Pull, PullFailed, delivery_of, sequence_of
from commands.receipts import Receipts
from commands.reports import (
    Dropped,
    Sender,
    Senders,
    consumer_name,
    read_report,
    replace_consumer,
)
from domain.envelope import Fence
from domain.fleet.messages import REPORTS_STREAM, Heartbeat, Output
from domain.ports import Clock, OutOfReach, Signal
from domain.telemetry.events import HeartbeatReceived, TaskOutputReceived

LOG = structlog.get_logger(__name__)

PREFIX: Final = "telemetry-"
SUBJECTS: Final = ("owl.reports.*.heartbeat", "owl.reports.*.output")


class Config(Struct, frozen=True, kw_only=True):
    """Bounds and pace."""

    batch_max: int = 2_000
    unacknowledged_max: int = 50_000
    retry_after_s: float = 0.25
    remembered_chunks: int = 50_000
    """Output chunks known by their report, so that a repeated one is not taken in twice."""


def telemetry_consumer(
    name: str, first_sequence: int, unacknowledged_max: int
) -> ConsumerConfig:
    """One acknowledgement stands for all before it."""
    return ConsumerConfig(
        durable_name=name,
        filter_subjects=list(SUBJECTS),
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=first_sequence,
        ack_policy=AckPolicy.ALL,
        ack_wait=30,
        max_ack_pending=unacknowledged_max,
    )


class _Batch(Struct, kw_only=True):
    """What was read together and is committed together."""

    reply: str
    last: Delivery
    at: datetime
    reports: list[Heartbeat | Output] = []
    entries: list[TelemetryEntry] = []
    late: set[UUID] = set()


class TelemetryIngest:
    """Pull, append, acknowledge, give receipts."""

    name = "ingest.telemetry"

    def __init__(
        self,
        client: Client,
        telemetry: TelemetryLog,
        reader: BoardReader,
        hearing: Hearing,
        presence: Presence,
        receipts: Receipts,
        *,
        clock: Clock,
        appended: Signal,
        config: Config | None = None,
    ) -> None:
        self._client = client
        self._broker = client.jetstream(timeout=5)
        self._telemetry = telemetry
        self._reader = reader
        self._board = reader.board
        self._hearing = hearing
        self._presence = presence
        self._receipts = receipts
        self._clock = clock
        self._appended = appended
        self._config = Config() if config is None else config
        self._chunks: OrderedDict[UUID, None] = OrderedDict()
        self._uncommitted: set[UUID] = set()
        self._beginnings = 0
        self._late_until = 0
        """The stream's last sequence when this began: what came before is no sign of life."""
        self._senders = Senders()
        self.dropped = Dropped()

    async def run(self, fence: Fence) -> None:
        """Take in until cancelled, beginning anew whenever the broker lost its place."""
        await self._reader.catch_up()
        self._hearing.begin(self._clock())
        while True:
            try:
                await self._follow(await self._begin(fence))
            except (PullFailed, NotFoundError, NatsTimeout) as failure:
                LOG.info("telemetry.begins_anew", why=repr(failure))
            except OutOfReach as failure:
                LOG.warning("telemetry.log_out_of_reach", why=str(failure))
            await asyncio.sleep(self._config.retry_after_s)

    async def _begin(self, fence: Fence) -> str:
        """A new consumer right behind what is in the log."""
        tracked = await asyncio.to_thread(self._telemetry.tracked)
        info = await self._broker.stream_info(REPORTS_STREAM)
        if info.state.last_seq < tracked:  # wiped, or an older copy of the stream
            await self._broker.purge_stream(REPORTS_STREAM, seq=tracked + 1)
        self._late_until = info.state.last_seq
        self._beginnings += 1
        name = consumer_name(PREFIX, fence.epoch, self._beginnings)
        most = self._config.unacknowledged_max
        wanted = telemetry_consumer(name, tracked + 1, most)
        await replace_consumer(self._client, PREFIX, fence.epoch, wanted)
        return name

    async def _follow(self, consumer: str) -> None:
        """Take in what comes, until something is out of turn; read on while a batch commits."""
        expected = 1
        committing: asyncio.Task[None] | None = None
        self._uncommitted.clear()
        try:
            async with Pull(self._client, REPORTS_STREAM, consumer) as pull:
                while True:
                    messages = await pull.take()
                    if not messages:
                        if committing is not None:
                            await committing
                            committing = None
                        elif self._client.is_connected:
                            self._hearing.listened(self._clock())
                    for start in range(0, len(messages), self._config.batch_max):
                        batch = messages[start : start + self._config.batch_max]
                        first, last = delivery_of(batch[0]), delivery_of(batch[-1])
                        expected += len(batch)
                        if (
                            first.consumer_sequence != expected - len(batch)
                            or last.consumer_sequence != expected - 1
                        ):
                            return
                        read = await self._read(batch, last)
                        if committing is not None:
                            await committing
                        committing = asyncio.create_task(self._commit(read))
        finally:
            if committing is not None:
                committing.cancel()
                await asyncio.gather(committing, return_exceptions=True)

    async def _read(self, batch: Sequence[Msg], last: Delivery) -> _Batch:
        """Decode a batch; what is not to be taken in is dropped and counted."""
        read = _Batch(reply=batch[-1].reply, last=last, at=self._clock())
        for message in batch:
            report = read_report(message, self._senders, self.dropped)
            if not isinstance(report, Heartbeat | Output):
                continue
            server = self._board.servers.get(report.server_id)
            if (server is None or server.removed) and not await self._knows(report.server_id):
                continue
            read.reports.append(report)
            sender = self._senders[message.subject]
            sequence = sequence_of(message)
            if isinstance(report, Heartbeat):
                late = sequence <= self._late_until
                if late:
                    read.late.add(report.report_id)
                entry = _heartbeat_entry(report, sender, sequence, read.at, late=late)
            elif self._is_new(report):
                self._uncommitted.add(report.report_id)
                correlation_id = self._correlation_of(report.task_id)
                entry = _output_entry(report, sender, correlation_id, sequence, read.at)
            else:
                continue
            read.entries.append(entry)
        return read

    async def _commit(self, batch: _Batch) -> None:
        """Commit a batch, then acknowledge it, then let the agents know."""
        appended = await asyncio.to_thread(
            self._telemetry.append, batch.entries, stream_sequence=batch.last.stream_sequence
        )
        await self._client.publish(batch.reply, ACK)
        self._appended.notify(appended.position)
        for report in batch.reports:
            if isinstance(report, Heartbeat):
                self._receipts.renew(report)
                late = report.report_id in batch.late
                if not late:
                    self._hearing.hear(report, batch.at)
                if not late or report.leaving:
                    self._presence.note(report, batch.at)
            else:
                self._uncommitted.discard(report.report_id)
                self._chunks[report.report_id] = None
                self._receipts.give(report.server_id, report.report_id)
        while len(self._chunks) > self._config.remembered_chunks:
            self._chunks.popitem(last=False)
        if batch.last.pending <= self._config.batch_max:
            self._hearing.listened(self._clock())

    async def _knows(self, server_id: UUID) -> bool:
        """Whether it is a server of this farm after all: enrolled a moment ago, perhaps."""
        await self._reader.catch_up()
        server = self._board.servers.get(server_id)
        if server is None or server.removed:
            self.dropped.unknown_server += 1
            return False
        return True

    def _is_new(self, output: Output) -> bool:
        """Whether a chunk is of an attempt that its server had, and is not committed yet."""
        if self._board.owner_of(output.task_id, output.attempt) != output.server_id:
            self.dropped.foreign += 1
            return False
        known = output.report_id in self._chunks or output.report_id in self._uncommitted
        return not known

    def _correlation_of(self, task_id: UUID) -> str:
        mine = self._board.attempts.get(task_id)
        return f"task/{task_id}" if mine is None else mine.correlation_id


def _heartbeat_entry(
    report: Heartbeat, sender: Sender, sequence: int, at: datetime, *, late: bool
) -> TelemetryEntry:
    return TelemetryEntry(
        stream=report.server_id,
        fact=HeartbeatReceived(
            server_id=report.server_id,
            boot_id=report.boot_id,
            sequence=report.sequence,
            sent_at=report.sent_at,
            host=report.host,
            gpus=report.gpus,
            running=report.running,
            draining=report.draining,
            simulated=report.simulated,
            late=late,
        ),
        recorded_at=at,
        actor=sender.actor,
        command_id=report.report_id,
        correlation_id=sender.correlation_of(report.boot_id),
        stream_sequence=sequence,
    )


def _output_entry(
    report: Output, sender: Sender, correlation_id: str, sequence: int, at: datetime
) -> TelemetryEntry:
    return TelemetryEntry(
        stream=report.task_id,
        fact=TaskOutputReceived(
            task_id=report.task_id,
            attempt=report.attempt,
            sequence=report.sequence,
            server_id=report.server_id,
            lines=report.lines,
        ),
        recorded_at=at,
        actor=sender.actor,
        command_id=report.report_id,
        correlation_id=correlation_id,
        stream_sequence=sequence,
    )
