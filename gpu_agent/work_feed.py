"""Pulls this server's work from its JetStream consumer: assignments, cancellations, drains.

One standing request with room for many messages, so that an assignment arrives the moment it is
published. The consumer is the platform's to make; where it is missing (a wiped store) the
request is answered by nobody and asked again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Final
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from domain.fleet.messages import (
    AGENTS_STREAM,
    WORK_DECODER,
    WorkMessage,
    work_consumer,
)
from gpu_agent.broker import Broker

_LOG = structlog.get_logger(__name__)
_STATUS: Final = "Status"


class Config(Struct, frozen=True, kw_only=True):
    """How long a request stands, for how many messages, and the pause when it fails."""

    stands_s: float = 20.0
    batch: int = 128
    again_after_s: float = 0.5


class WorkFeed:
    """Feeds ``take`` with the platform's words; each is acknowledged once it was taken."""

    def __init__(
        self,
        broker: Broker,
        *,
        server_id: UUID,
        take: Callable[[WorkMessage], None],
        ready: Callable[[], bool],
        config: Config,
    ) -> None:
        """Take where work goes to, and whether any may be asked for now."""
        self._broker = broker
        self._take = take
        self._ready = ready
        self._config = config
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{AGENTS_STREAM}.{work_consumer(server_id)}"
        self._inbox = f"_INBOX_{server_id}.work"
        self._open = 0
        self._failed = False
        self._changed = asyncio.Event()
        broker.subscribe(self._inbox, self._hear)
        broker.when_connected(self._renew)

    async def run(self) -> None:
        """Ask for work, for ever."""
        while True:
            await self.step()

    async def step(self) -> None:
        """Have a request stand until it is used up, refused or expired."""
        await self._broker.connected.wait()
        if not self._ready():
            await asyncio.sleep(self._config.again_after_s)
            return
        self._changed.clear()
        self._open, self._failed = self._config.batch, False
        request = {"batch": self._config.batch, "expires": int(self._config.stands_s * 1e9)}
        sent = await self._broker.publish(
            self._subject, json.dumps(request).encode(), reply=self._inbox
        )
        if sent:
            try:
                async with asyncio.timeout(self._config.stands_s + 5):
                    await self._changed.wait()
            except TimeoutError:
                return  # the server forgot us: ask again
        if self._failed or not sent:
            await asyncio.sleep(self._config.again_after_s)

    def _renew(self) -> None:
        """A request does not outlive its connection."""
        self._changed.set()

    async def _hear(self, message: Msg) -> None:
        status = (message.headers or {}).get(_STATUS)
        if status is not None:
            # 408: it stood its time. Others (404, 409, 503): no consumer, no responder.
            self._failed = status != "408"
            self._changed.set()
            return
        try:
            self._take(WORK_DECODER.decode(message.data))
        except msgspec.MsgspecError as error:
            _LOG.error("work_not_understood", error=str(error))
        try:
            await message.ack()
        except NatsError as error:
            _LOG.warning("ack_failed", error=str(error))
        self._open -= 1
        if self._open <= 0:
            self._changed.set()
