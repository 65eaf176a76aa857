"""Artifact intake: files from a server's bucket on the broker to the artifact store.

The agent's word is not believed: size and digest are those of the bytes that arrived. A link
from one bucket into another's, which the broker's objects allow, is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Final
from uuid import UUID

from msgspec import Struct
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import ObjectInfo
from nats.js.errors import APIError, BadObjectMetaError, NotFoundError, ObjectNotFoundError
from nats.js.object_store import ObjectStore

from commands.artifact_store import DIGEST, ArtifactStore
from domain.fleet.messages import artifact_bucket
from domain.tasks.events import Artifact

CHUNKS: Final = "$O.{bucket}.C.{nuid}"


class ArtifactsMissing(Exception):
    """A file is not there (yet): ask the agent again."""


class ArtifactsUnfit(Exception):
    """A file is not what the report says, or too large to keep."""


class Config(Struct, frozen=True, kw_only=True):
    """Bounds."""

    artifact_bytes_max: int = 64 * 1024 * 1024
    artifacts_max: int = 256
    at_once: int = 2
    chunk_timeout_s: float = 5.0


class ArtifactIntake:
    """Takes in what a report names; again does nothing."""

    def __init__(
        self, client: Client, store: ArtifactStore, config: Config | None = None
    ) -> None:
        self._broker = client.jetstream(timeout=5)
        self._store = store
        self._config = Config() if config is None else config
        self._turn = asyncio.Semaphore(self._config.at_once)

    async def take_in(self, server_id: UUID, artifacts: Iterable[Artifact]) -> None:
        """Have every file in the store, then delete it from the bucket.

        Raises:
            ArtifactsMissing: one has not arrived.
            ArtifactsUnfit: one is not what it should be.
        """
        wanted = {artifact.sha256: artifact for artifact in artifacts}
        if len(wanted) > self._config.artifacts_max:
            raise ArtifactsUnfit(f"more than {self._config.artifacts_max} files")
        bucket = await self._bucket(server_id)
        for artifact in wanted.values():
            async with self._turn:
                await self._take_in_one(bucket, server_id, artifact)
        for sha256 in wanted:
            with suppress(NotFoundError, ObjectNotFoundError, NatsTimeout):
                await bucket.delete(sha256)

    async def _bucket(self, server_id: UUID) -> ObjectStore:
        try:
            return await self._broker.object_store(artifact_bucket(server_id))
        except (NotFoundError, NatsTimeout) as failure:
            raise ArtifactsMissing("the bucket is gone") from failure

    async def _take_in_one(
        self, bucket: ObjectStore, server_id: UUID, artifact: Artifact
    ) -> None:
        if DIGEST.fullmatch(artifact.sha256) is None:
            raise ArtifactsUnfit(f"{artifact.name}: no SHA-256")
        if not 0 <= artifact.size_bytes <= self._config.artifact_bytes_max:
            raise ArtifactsUnfit(f"{artifact.name}: {artifact.size_bytes} bytes")
        if await self._store.has(artifact.sha256):
            return
        try:
            info = await bucket.get_info(artifact.sha256)
        except (NotFoundError, ObjectNotFoundError, NatsTimeout) as failure:
            raise ArtifactsMissing(artifact.name) from failure
        except BadObjectMetaError as failure:
            raise ArtifactsUnfit(f"{artifact.name}: unreadable") from failure
        content = await self._read(server_id, artifact, info)
        if hashlib.sha256(content).hexdigest() != artifact.sha256:
            raise ArtifactsUnfit(f"{artifact.name}: other bytes than the digest says")
        await self._store.put(artifact.sha256, content)

    async def _read(self, server_id: UUID, artifact: Artifact, info: ObjectInfo) -> bytes:
        """Exactly as many bytes as the report says, from this server's own bucket."""
        if info.is_link() or info.size != artifact.size_bytes or not info.nuid.isalnum():
            raise ArtifactsUnfit(f"{artifact.name}: another size than the report says")
        if artifact.size_bytes == 0:
            return b""
        subject = CHUNKS.format(bucket=artifact_bucket(server_id), nuid=info.nuid)
        content = bytearray()
        try:
            chunks = await self._broker.subscribe(subject, ordered_consumer=True)
        except (APIError, NotFoundError, NatsTimeout) as failure:
            raise ArtifactsMissing(artifact.name) from failure
        try:
            while len(content) < artifact.size_bytes:
                chunk = await chunks.next_msg(timeout=self._config.chunk_timeout_s)
                content += chunk.data
        except NatsTimeout as failure:
            raise ArtifactsMissing(artifact.name) from failure
        finally:
            await chunks.unsubscribe()
        if len(content) != artifact.size_bytes:
            raise ArtifactsUnfit(f"{artifact.name}: more bytes than the report says")
        return bytes(content)
