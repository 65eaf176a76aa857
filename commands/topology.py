"""What must exist on the broker: streams, each server's consumer, each server's bucket.

The broker is transport and may lose everything at any time, so this is asserted again and
again: a wiped store is whole again within a second or two. Every stream is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final
from uuid import UUID

import structlog
from msgspec import Struct
from nats.aio.client import Client
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError, NotFoundError

from domain.envelope import Fence
from domain.fleet.messages import (
    AGENTS_STREAM,
    CHECKPOINTS_STREAM,
    EVENTS_STREAM,
    REPORTS_STREAM,
    SUBJECTS,
    artifact_bucket,
    work_consumer,
    work_subject,
)

LOG = structlog.get_logger(__name__)

MIB: Final = 1024 * 1024
HOUR_S: Final = 3600.0
REPORT_BYTES_MAX: Final = MIB
WORK_PER_SERVER_MAX: Final = 2_000
NAME_IN_USE: Final = 10_058
"""The broker's code for a stream that exists with another configuration."""


class Config(Struct, frozen=True, kw_only=True):
    """Bounds, and how often they are asserted."""

    replicas: int = 1
    events_max_bytes: int = 512 * MIB
    events_max_age_s: float = 7 * 24 * HOUR_S
    agents_max_bytes: int = 64 * MIB
    agents_max_age_s: float = HOUR_S
    reports_max_bytes: int = 512 * MIB
    reports_max_age_s: float = 24 * HOUR_S
    checkpoints_max_bytes: int = 64 * MIB
    checkpoints_max_age_s: float = 30 * 24 * HOUR_S
    bucket_max_bytes: int = 128 * MIB
    bucket_max_age_s: float = 24 * HOUR_S
    dedupe_window_s: float = 2.0
    """Short: an agent that gets no receipt says the same again, and must be heard."""
    check_every_s: float = 1.0


def events_stream(config: Config) -> StreamConfig:
    """A copy of the log's newest events for whoever follows them; the oldest go first."""
    return StreamConfig(
        name=EVENTS_STREAM,
        subjects=list(SUBJECTS[EVENTS_STREAM]),
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_bytes=config.events_max_bytes,
        max_age=config.events_max_age_s,
        duplicate_window=config.dedupe_window_s,
        num_replicas=config.replicas,
        allow_direct=True,
    )


def agents_stream(config: Config) -> StreamConfig:
    """Work on its way. In memory: what is lost is offered again, so no disk is waited for."""
    return StreamConfig(
        name=AGENTS_STREAM,
        subjects=list(SUBJECTS[AGENTS_STREAM]),
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.MEMORY,
        discard=DiscardPolicy.OLD,
        max_bytes=config.agents_max_bytes,
        max_msgs_per_subject=WORK_PER_SERVER_MAX,
        max_age=config.agents_max_age_s,
        duplicate_window=config.dedupe_window_s,
        num_replicas=config.replicas,
    )


def reports_stream(config: Config, *, first_sequence: int) -> StreamConfig:
    """Reports on their way in, kept until they are committed; when full, new ones are refused.

    An agent keeps what was refused. Sequences never start again below those that the telemetry
    log has taken in, or new heartbeats would pass for old ones.
    """
    return StreamConfig(
        name=REPORTS_STREAM,
        subjects=list(SUBJECTS[REPORTS_STREAM]),
        retention=RetentionPolicy.INTEREST,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_bytes=config.reports_max_bytes,
        max_msg_size=REPORT_BYTES_MAX,
        max_age=config.reports_max_age_s,
        duplicate_window=config.dedupe_window_s,
        num_replicas=config.replicas,
        first_seq=first_sequence,
    )


def checkpoints_stream(config: Config) -> StreamConfig:
    """What the notary has signed, for whoever keeps it elsewhere; the oldest go first."""
    return StreamConfig(
        name=CHECKPOINTS_STREAM,
        subjects=list(SUBJECTS[CHECKPOINTS_STREAM]),
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_bytes=config.checkpoints_max_bytes,
        max_age=config.checkpoints_max_age_s,
        duplicate_window=config.dedupe_window_s,
        num_replicas=config.replicas,
        allow_direct=True,
    )


class Topology:
    """Asserts what must exist; the loop ``topology`` of the worker's team."""

    name = "topology"

    def __init__(
        self,
        client: Client,
        *,
        servers: Callable[[], Iterable[UUID]],
        first_report_sequence: Callable[[], int],
        interested: Callable[[], Iterable[ConsumerConfig]],
        config: Config | None = None,
    ) -> None:
        """Take what changes by itself as questions.

        ``servers``: those enrolled and not removed. ``interested``: consumers of the reports
        that must exist from the stream's first moment, since it keeps only what one wants.
        """
        self._client = client
        self._broker = client.jetstream(timeout=5)
        self._servers = servers
        self._first_report_sequence = first_report_sequence
        self._interested = interested
        self._config = Config() if config is None else config
        self._known: set[UUID] = set()
        self._created: dict[str, object] = {}

    async def run(self, fence: Fence) -> None:
        """Assert for ever."""
        self._known.clear()
        while True:
            await self.step()
            await asyncio.sleep(self._config.check_every_s)

    async def step(self) -> None:
        """Assert everything once."""
        if not self._client.is_connected:
            return
        await self.ensure_streams()
        await self._ensure_servers()

    async def ensure_streams(self) -> None:
        """Make the streams that are missing; of one that is there, change the copies alone."""
        for name in SUBJECTS:
            created = await self._created_at(name)
            if created is None:
                await self._create(name)
                created = await self._created_at(name)
            if self._created.get(name) != created:
                self._created[name] = created
                self._known.clear()

    async def _created_at(self, name: str) -> object | None:
        try:
            info = await self._broker.stream_info(name)
        except NotFoundError:
            return None
        if info.config.num_replicas != self._config.replicas:
            wanted = info.config.evolve(num_replicas=self._config.replicas)
            await self._broker.update_stream(wanted)
            LOG.warning("stream.copies_changed", stream=name, copies=self._config.replicas)
        return info.created

    async def _create(self, name: str) -> None:
        match name:
            case "OWL_EVENTS":
                wanted = events_stream(self._config)
            case "OWL_AGENTS":
                wanted = agents_stream(self._config)
            case "OWL_CHECKPOINTS":
                wanted = checkpoints_stream(self._config)
            case _:
                first = await asyncio.to_thread(self._first_report_sequence)
                wanted = reports_stream(self._config, first_sequence=first)
        try:
            await self._broker.add_stream(wanted)
        except BadRequestError as error:
            if error.err_code != NAME_IN_USE:
                raise
            # another process was faster
        else:
            LOG.info("stream.created", stream=name)
        if name == REPORTS_STREAM:
            for consumer in self._interested():
                await self._broker.add_consumer(REPORTS_STREAM, consumer)

    async def _ensure_servers(self) -> None:
        wanted = set(self._servers())
        for server_id in wanted - self._known:
            await self._ensure_server(server_id)
            self._known.add(server_id)
        for server_id in self._known - wanted:
            await self._forget_server(server_id)
            self._known.discard(server_id)

    async def _ensure_server(self, server_id: UUID) -> None:
        await self._broker.add_consumer(
            AGENTS_STREAM,
            ConsumerConfig(
                durable_name=work_consumer(server_id),
                filter_subject=work_subject(server_id),
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=10,
                max_deliver=3,
                max_ack_pending=WORK_PER_SERVER_MAX,
            ),
        )
        bucket = artifact_bucket(server_id)
        try:
            await self._broker.stream_info(f"OBJ_{bucket}")
        except NotFoundError:
            with suppress(BadRequestError):  # another process was faster
                await self._broker.create_object_store(
                    bucket,
                    ttl=self._config.bucket_max_age_s,
                    max_bytes=self._config.bucket_max_bytes,
                    storage=StorageType.FILE,
                    replicas=self._config.replicas,
                )

    async def _forget_server(self, server_id: UUID) -> None:
        with suppress(NotFoundError):
            await self._broker.delete_consumer(AGENTS_STREAM, work_consumer(server_id))
        with suppress(NotFoundError):
            await self._broker.delete_object_store(artifact_bucket(server_id))
