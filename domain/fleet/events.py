"""Facts about GPU servers. The stream's id is ``server_id``.

Single heartbeats are facts of the telemetry log; here stand only the transitions that were
decided from them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from msgspec import Struct

from domain.facts import Fact


class GpuInventory(Struct, frozen=True, kw_only=True):
    """One GPU as a server reported it. ``None`` means not available, never zero."""

    index: int
    uuid: str
    name: str
    memory_total_mib: int | None = None
    simulated: bool = False


class ServerRegistered(Fact, frozen=True, tag="fleet.server_registered/1", kw_only=True):
    """An admin made room for a server; it may enrol once with the token until then."""

    server_id: UUID
    name: str
    max_concurrent_tasks: int
    token_digest: str
    token_expires_at: datetime


class EnrolmentTokenIssued(
    Fact, frozen=True, tag="fleet.enrolment_token_issued/1", kw_only=True
):
    """An admin gave out another single-use token; the server enrols anew with it."""

    server_id: UUID
    token_digest: str
    token_expires_at: datetime


class ServerEnrolled(Fact, frozen=True, tag="fleet.server_enrolled/1", kw_only=True):
    """A server proved the token and left the public key it signs in with."""

    server_id: UUID
    public_key: str
    host: str


class ServerCameOnline(Fact, frozen=True, tag="fleet.server_came_online/1", kw_only=True):
    """The first heartbeat after silence, of a new life of the agent, or with a new GPU."""

    server_id: UUID
    boot_id: UUID
    seen_at: datetime
    agent_version: str
    host: str
    cpu_count: int | None = None
    memory_total_mib: int | None = None
    gpus: tuple[GpuInventory, ...] = ()
    simulated: bool = False
    serves_files: bool = False


class ServerWentOffline(Fact, frozen=True, tag="fleet.server_went_offline/1", kw_only=True):
    """No heartbeat for as long as the configuration allows; ``last_seen_at`` was the last."""

    server_id: UUID
    last_seen_at: datetime
    reason: Literal["silent", "stopped"] = "silent"


class GpuFailed(Fact, frozen=True, tag="fleet.gpu_failed/1", kw_only=True):
    """A GPU answers no more (fell off the bus, needs a reset); it gets no work."""

    server_id: UUID
    gpu_uuid: str
    detail: str


class GpuRecovered(Fact, frozen=True, tag="fleet.gpu_recovered/1", kw_only=True):
    """A failed GPU answers again."""

    server_id: UUID
    gpu_uuid: str


class ServerDrained(Fact, frozen=True, tag="fleet.server_drained/1", kw_only=True):
    """An operator wants no new work on the server; what runs may end."""

    server_id: UUID


class ServerResumed(Fact, frozen=True, tag="fleet.server_resumed/1", kw_only=True):
    """The server takes work again."""

    server_id: UUID


class ServerChanged(Fact, frozen=True, tag="fleet.server_changed/1", kw_only=True):
    """An operator renamed the server or changed how much it may run at once."""

    server_id: UUID
    name: str
    max_concurrent_tasks: int


class ServerRemoved(Fact, frozen=True, tag="fleet.server_removed/1", kw_only=True):
    """The server left the farm; its credential is void."""

    server_id: UUID


ServerFact: TypeAlias = (
    ServerRegistered
    | EnrolmentTokenIssued
    | ServerEnrolled
    | ServerCameOnline
    | ServerWentOffline
    | GpuFailed
    | GpuRecovered
    | ServerDrained
    | ServerResumed
    | ServerChanged
    | ServerRemoved
)
