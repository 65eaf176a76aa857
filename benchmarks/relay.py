"""Row 11: the log's events to JetStream, over what nats-py publishes by itself.

Limit: ``publish_async`` of the same number of messages of the same bytes, under the same kind
of subject, a window of 4,000 as shipped. Ours: the relay, from an empty stream until its last
event is confirmed: read from PostgreSQL, ten headers, in order, fenced. Both into a file stream
of the same broker.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import nats
import structlog
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from api.programs.long_running import run_long
from benchmarks.append import context, fresh_id
from benchmarks.measure import Options, Ratio, measure, options, tell
from commands.checkpoints import Checkpoints
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from commands.recharge import IssueCodes, NewCode, issue_codes
from commands.relay import Config, Relay
from commands.signals import LocalSignal
from commands.topology import Config as TopologyConfig
from commands.topology import events_stream
from commands.writer import Writer
from domain.envelope import Fence
from domain.fleet.messages import EVENTS_STREAM
from tests.stack import LiveStack, live_stack

EVENTS_PER_S = 5_000  # of the figure's time
BATCH = 200

RATIO = Ratio(
    row=11,
    name="log to JetStream over publish_async",
    ours="ours: the relay, events/s",
    other="limit: nats-py publish_async, messages/s",
    target=0.4,
    moonshot=0.7,
)


async def fill(log: EventLog, count: int) -> None:
    """Put events into the log, real ones."""
    async with Writer(log, now) as writer:
        for _ in range(0, count, BATCH):
            codes = tuple(
                NewCode(fresh_id(), "OWL-ABCD-****-****", "c2VhbGVk" * 6) for _ in range(BATCH)
            )
            command = IssueCodes(
                batch_id=fresh_id(),
                codes=codes,
                amount_fen=10_000,
                max_uses=1,
                expires_at=None,
                description="开业酬宾",
                at=now(),
            )
            await writer.run(issue_codes, command, context())


async def empty_stream(client: Client) -> None:
    """As after a wipe."""
    broker = client.jetstream()
    with suppress(NotFoundError):
        await broker.delete_stream(EVENTS_STREAM)
    await broker.add_stream(events_stream(TopologyConfig()))


async def publish(url: str, payloads: list[tuple[str, bytes]]) -> float:
    """The limit."""
    client = await nats.connect(url)
    await empty_stream(client)
    broker = client.jetstream()
    began = time.perf_counter()
    for subject, payload in payloads:
        await broker.publish_async(subject, payload)
    await broker.publish_async_completed()
    took = time.perf_counter() - began
    await client.close()
    return len(payloads) / took


async def relay(url: str, log: EventLog) -> float:
    """Ours."""
    client = await nats.connect(url)
    await empty_stream(client)
    head = log.feed().head()
    config = Config(refill=head)
    relaying = Relay(log, client, LocalSignal(), Checkpoints(log.conninfo), config=config)
    began = time.perf_counter()
    loop = asyncio.create_task(relaying.run(Fence("relay", 1)))
    while relaying.position < head:  # noqa: ASYNC110 - the relay tells nobody
        await asyncio.sleep(0.002)
    took = time.perf_counter() - began
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    await client.close()
    return head / took


def now() -> datetime:
    """The platform's clock."""
    return datetime.now(UTC)


def run(stack: LiveStack, chosen: Options) -> None:
    """Fill a log, race, say how it went."""
    secrets = Secrets(pepper=b"p" * 32, sealing_key=b"s" * 32)
    with EventLog.open(stack.create_database(), secrets=secrets, require_durable=True) as log:
        run_long(fill(log, round(EVENTS_PER_S * chosen.seconds)))
        rows = log.read_raw(0, 1_000_000)
        payloads = [("owl.events.recharge.code_issued", row.state) for row in rows]
        figures: dict[str, Callable[[], float]] = {
            RATIO.other: lambda: run_long(publish(stack.nats_url, payloads)),
            RATIO.ours: lambda: run_long(relay(stack.nats_url, log)),
        }
        tell(measure(figures, [RATIO], chosen), chosen)


def main() -> None:
    """Measure and tell."""
    chosen = options(__doc__ or "", seconds=4.0)
    quiet = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=quiet)
    with live_stack(profile="durable") as stack:
        run(stack, chosen)


if __name__ == "__main__":
    main()
