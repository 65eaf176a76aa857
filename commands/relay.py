"""The relay: the log is the outbox; each event is published once more, on NATS, in order.

Each message says after which sequence of the stream it must come, so one that is lost, doubled
or sent by a relay that was overtaken makes the broker refuse it and all that follow: the answer
to the last message of a batch speaks for the whole batch. Where to go on is read from the
stream's own last message, and after a wipe from the checkpoint. Personal fields stay encrypted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

import structlog
from msgspec import Struct
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import Header, RawStreamMsg, StreamInfo
from nats.js.errors import BadRequestError, NoStreamResponseError, NotFoundError

from commands.checkpoints import Checkpoints
from commands.event_log.log import EventLog
from commands.event_log.reading import Raw
from domain.catalogue import subject_of
from domain.envelope import Fence
from domain.fleet.messages import EVENTS_STREAM
from domain.ports import Signal

LOG = structlog.get_logger(__name__)

CHECKPOINT: Final = "relay"
POSITION: Final = "Owl-Position"
WRONG_LAST_SEQUENCE: Final = 10071
EVERYTHING: Final = "owl.events.>"


class LogBehindStream(Exception):
    """The stream holds events that the log does not: the log was restored from an old backup.

    Delete the stream OWL_EVENTS to let it be filled from this log.
    """


class Config(Struct, frozen=True, kw_only=True):
    """Bounds and pace."""

    batch: int = 500
    poll_s: float = 0.25
    ack_timeout_s: float = 5.0
    checkpoint_every_s: float = 1.0
    refill: int = 10_000
    """So many older events go into a stream that was wiped, for followers who lagged."""


class Relay:
    """Reads a batch while the one before it is being confirmed."""

    name = "relay"

    def __init__(
        self,
        log: EventLog,
        client: Client,
        committed: Signal,
        checkpoints: Checkpoints,
        *,
        config: Config | None = None,
    ) -> None:
        self._log = log
        self._client = client
        self._broker = client.jetstream(timeout=5)
        self._committed = committed
        self._checkpoints = checkpoints
        self._config = Config() if config is None else config
        self.position = 0
        """The last event that the broker has confirmed."""
        self._sequence = 0
        self._kept = 0
        self._kept_at = 0.0

    async def run(self, fence: Fence) -> None:
        """Publish until cancelled, going on from wherever the stream stands."""
        while True:
            await self.resume()
            try:
                await self._follow()
            except BadRequestError as refusal:
                if refusal.err_code != WRONG_LAST_SEQUENCE:
                    raise
                LOG.warning("relay.stream_moved", why=str(refusal))
            except (NoStreamResponseError, NatsTimeout) as failure:
                LOG.warning("relay.stream_gone", why=repr(failure))
            await asyncio.sleep(self._config.poll_s)

    async def _follow(self) -> None:
        """Publish until the stream is not as this relay left it."""
        unconfirmed: deque[asyncio.Task[int]] = deque()
        read_to = self.position
        try:
            while True:
                rows = await asyncio.to_thread(self._log.read_raw, read_to, self._config.batch)
                if rows:
                    read_to = rows[-1].position
                    unconfirmed.append(await self._publish(rows))
                while len(unconfirmed) > (1 if rows else 0):
                    await self._confirmed(await unconfirmed[0])
                    unconfirmed.popleft()
                if not rows:
                    await self._committed.wait(read_to, self._config.poll_s)
        finally:
            for confirmation in unconfirmed:
                confirmation.cancel()
            await asyncio.gather(*unconfirmed, return_exceptions=True)

    async def resume(self) -> None:
        """Find out where to go on: the stream's last message knows, or else the checkpoint.

        Raises:
            LogBehindStream: what was published is not in the log.
        """
        kept = await self._checkpoints.read(CHECKPOINT)
        checkpoint = 0 if kept is None else kept.position
        info = await self._stream()
        self._sequence = info.state.last_seq
        last = await self._last_message() if info.state.messages else None
        if last is not None:
            self._sequence = last.seq or 0
            self.position = int((last.headers or {})[POSITION])
        elif self._sequence == 0:
            self.position = max(0, checkpoint - self._config.refill)
        else:
            self.position = checkpoint
        if self.position > await asyncio.to_thread(self._log.feed().head):
            raise LogBehindStream(f"position {self.position}")
        LOG.info("relay.resumes", position=self.position, sequence=self._sequence)

    async def _stream(self) -> StreamInfo:
        """The stream, as soon as it is there and the broker with it."""
        while True:
            try:
                if self._client.is_connected:
                    return await self._broker.stream_info(EVENTS_STREAM)
            except (NotFoundError, NatsTimeout):
                pass  # the topology makes it again
            await asyncio.sleep(self._config.poll_s)

    async def _last_message(self) -> RawStreamMsg | None:
        try:
            return await self._broker.get_last_msg(EVENTS_STREAM, EVERYTHING)
        except NotFoundError:
            return None

    async def _publish(self, rows: Sequence[Raw]) -> asyncio.Task[int]:
        """Send a batch; the task ends with its confirmation, and tells its last position."""
        for row in rows[:-1]:
            await self._client.publish(
                subject_of(row.tag), row.state, headers=self._headers(row)
            )
            self._sequence += 1
        confirmation = asyncio.create_task(self._confirm(rows[-1], self._headers(rows[-1])))
        self._sequence += 1
        return confirmation

    async def _confirm(self, row: Raw, headers: dict[str, str]) -> int:
        """Send the last of a batch and hear that it was stored, and so all before it."""
        timeout_s = self._config.ack_timeout_s
        await self._broker.publish(
            subject_of(row.tag), row.state, timeout=timeout_s, headers=headers
        )
        return row.position

    def _headers(self, row: Raw) -> dict[str, str]:
        position = str(row.position)
        headers = {
            Header.MSG_ID.value: position,
            Header.EXPECTED_LAST_SEQUENCE.value: str(self._sequence),
            POSITION: position,
            "Owl-Stream": str(row.stream),
            "Owl-Version": str(row.version),
            "Owl-Recorded-At": row.recorded_at.isoformat(),
            "Owl-Actor": row.actor,
            "Owl-Command": str(row.command_id),
            "Owl-Correlation": row.correlation_id,
        }
        if row.causation_id is not None:
            headers["Owl-Causation"] = str(row.causation_id)
        return headers

    async def _confirmed(self, position: int) -> None:
        self.position = position
        now = asyncio.get_running_loop().time()
        if now - self._kept_at >= self._config.checkpoint_every_s and position > self._kept:
            await self._checkpoints.keep(CHECKPOINT, position)
            self._kept, self._kept_at = position, now
