"""Receipts: tell agents which of their reports are in the log, so that they can let go."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

from nats.aio.client import Client
from nats.errors import Error as NatsError

from domain.fleet.messages import ENCODER, Heartbeat, Receipt, receipts_subject
from domain.system.configuration import Configuration


class Receipts:
    """Gathers what was committed in one turn of the loop into one message per server.

    Plain NATS: a lost receipt makes an agent repeat a report, which changes nothing.
    """

    def __init__(self, client: Client, configuration: Callable[[], Configuration]) -> None:
        self._client = client
        self._configuration = configuration
        self._reports: defaultdict[UUID, list[UUID]] = defaultdict(list)
        self._heartbeats: dict[UUID, Heartbeat] = {}
        self._sending: asyncio.Task[None] | None = None

    def give(self, server_id: UUID, report_id: UUID) -> None:
        """A report is committed."""
        self._reports[server_id].append(report_id)
        self._send_soon()

    def renew(self, heartbeat: Heartbeat) -> None:
        """A heartbeat is committed; the newest of a server counts."""
        self._heartbeats[heartbeat.server_id] = heartbeat
        self._send_soon()

    def _send_soon(self) -> None:
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        while self._reports or self._heartbeats:
            reports, self._reports = self._reports, defaultdict(list)
            heartbeats, self._heartbeats = self._heartbeats, {}
            if not self._client.is_connected:
                return
            configuration = self._configuration()
            for server_id in reports.keys() | heartbeats.keys():
                heartbeat = heartbeats.get(server_id)
                receipt = Receipt(
                    report_ids=tuple(reports.get(server_id, ())),
                    boot_id=None if heartbeat is None else heartbeat.boot_id,
                    heartbeat_sequence=None if heartbeat is None else heartbeat.sequence,
                    heartbeat_interval_s=configuration.heartbeat_interval_s,
                    lease_lost_after_s=configuration.lease_lost_after_s,
                )
                with suppress(NatsError):
                    subject = receipts_subject(server_id)
                    await self._client.publish(subject, ENCODER.encode(receipt))
            await asyncio.sleep(0)
