"""Reading what agents send: who says it, whether it can be read, and whether it is theirs."""

from __future__ import annotations

from contextlib import suppress
from typing import Final
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, ConsumerInfo
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from domain.envelope import Actor
from domain.fleet.messages import REPORT_DECODER, REPORTS_STREAM, Report
from domain.ports import FencedOff

LOG = structlog.get_logger(__name__)

SENDERS_MAX: Final = 100_000
_SERVER_TOKEN: Final = 2  # owl.reports.<server>.<kind>


class Dropped(Struct):
    """Reports that were not taken in, by reason; they stay in the agents' hands."""

    malformed: int = 0
    forged: int = 0
    """The body names another server than the subject, which the broker vouches for."""
    unknown_server: int = 0
    foreign: int = 0
    """Output of an attempt that is not the server's, nor was lately."""
    given_up: int = 0
    """Each try hit a defect of ours; the agent was told to let go of it."""


class Sender:
    """Who publishes on a subject, by the broker's own word."""

    __slots__ = ("_boot_id", "_correlation_id", "actor", "server_id")

    def __init__(self, subject: str) -> None:
        name = subject.split(".")[_SERVER_TOKEN]
        try:
            self.server_id: UUID | None = UUID(name)
        except ValueError:
            self.server_id = None
        self.actor = Actor("agent", name)
        self._boot_id: UUID | None = None
        self._correlation_id = ""

    def correlation_of(self, boot_id: UUID) -> str:
        """What all heartbeats of one life of the agent share."""
        if boot_id != self._boot_id:
            self._boot_id, self._correlation_id = boot_id, str(boot_id)
        return self._correlation_id


class Senders(dict[str, Sender]):
    """Senders by subject, made when first heard; they are few and speak often."""

    def __missing__(self, subject: str) -> Sender:
        if len(self) >= SENDERS_MAX:
            self.clear()
        sender = self[subject] = Sender(subject)
        return sender


def read_report(message: Msg, senders: Senders, dropped: Dropped) -> Report | None:
    """The report in ``message``; ``None`` when it is dropped, and counted."""
    try:
        report: Report = REPORT_DECODER.decode(message.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as failure:
        dropped.malformed += 1
        LOG.warning("report.malformed", subject=message.subject, why=str(failure))
        return None
    if senders[message.subject].server_id != report.server_id:
        dropped.forged += 1
        LOG.warning("report.forged", subject=message.subject, claims=str(report.server_id))
        return None
    return report


async def consumers_of(broker: JetStreamContext, prefix: str) -> list[ConsumerInfo]:
    """The consumers of the reports whose name begins with ``prefix``."""
    try:
        every = await broker.consumers_info(REPORTS_STREAM)
    except NotFoundError:
        return []
    return [info for info in every if info.name.startswith(prefix)]


async def replace_consumer(
    client: Client, prefix: str, epoch: int, wanted: ConsumerConfig
) -> None:
    """Make a new consumer, then delete its forerunners.

    What was delivered to a forerunner and not acknowledged is delivered to the new one at once,
    instead of after its ``ack_wait``; in between it is never without a consumer that wants it.

    Raises:
        FencedOff: a later leader has made its own already.
    """
    broker = client.jetstream(timeout=5)
    before = await consumers_of(broker, prefix)
    if any(_epoch_of(info.name) > epoch for info in before):
        raise FencedOff(prefix)
    await broker.add_consumer(REPORTS_STREAM, wanted)
    for info in before:
        if info.name != wanted.durable_name:
            with suppress(NotFoundError):
                await broker.delete_consumer(REPORTS_STREAM, info.name)


def consumer_name(prefix: str, epoch: int, beginning: int) -> str:
    """Tells whose it is: the leader's epoch, and which of its beginnings."""
    return f"{prefix}{epoch}-{beginning}"


def _epoch_of(name: str) -> int:
    return int(name.split("-")[1])
