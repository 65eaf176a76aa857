"""Brings a task's files to the platform: into this server's object store, named by SHA-256.

They are there before the attempt is reported as completed, so whoever reads that report finds
them. A file that is there already, whole, is not sent again.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from nats.js.object_store import ObjectStore

from domain.fleet.messages import artifact_bucket
from domain.tasks.events import Artifact
from gpu_agent.broker import Broker

ATTEMPTS: Final = 60
PAUSE_S: Final = 2.0
_LOG = structlog.get_logger(__name__)


class NotDelivered(Exception):
    """The files did not reach the platform in the time that was given to it."""


class Deliveries:
    """Delivers files of finished attempts."""

    def __init__(self, broker: Broker, server_id: UUID) -> None:
        self._broker = broker
        self._bucket = artifact_bucket(server_id)

    async def deliver(self, files: tuple[Artifact, ...], directory: Path) -> None:
        """Return once every file is in the store.

        Raises:
            NotDelivered: the broker could not take them for about two minutes.
        """
        for file in files:
            await self._deliver(file, directory / file.name)

    async def _deliver(self, file: Artifact, path: Path) -> None:
        for _ in range(ATTEMPTS):
            try:
                if await self._put(file, path):
                    return
            except (NatsError, TimeoutError) as error:
                _LOG.warning("file_not_delivered", name=file.name, error=repr(error))
            await asyncio.sleep(PAUSE_S)
        raise NotDelivered(f"{file.name} could not be delivered")

    async def _put(self, file: Artifact, path: Path) -> bool:
        client = self._broker.client
        if client is None:
            return False
        store: ObjectStore = await client.jetstream().object_store(self._bucket)
        try:
            known = await store.get_info(file.sha256)
        except NotFoundError:
            known = None
        if known is None or known.size != file.size_bytes:
            with await asyncio.to_thread(path.open, "rb") as content:
                await store.put(file.sha256, content)
        return True
