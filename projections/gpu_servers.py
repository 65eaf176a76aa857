"""GPU servers: what each is and whether it takes work, from the business log alone.

Figures of the moment are in ``gpu_status``; the queries that join both stand in
``gpu_cluster``.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.envelope import Told
from domain.fleet.events import (
    GpuFailed,
    GpuInventory,
    GpuRecovered,
    ServerCameOnline,
    ServerChanged,
    ServerDrained,
    ServerEnrolled,
    ServerRegistered,
    ServerRemoved,
    ServerResumed,
    ServerWentOffline,
)
from projections.read_model import ReadModel, Table, first, on


class GpuServerRow(Struct, frozen=True, kw_only=True, gc=False):
    """One server. ``failed_gpus`` maps the uuid of a GPU that answers no more to why."""

    server_id: UUID
    name: str
    host: str = ""
    max_concurrent_tasks: int
    is_online: bool = False
    is_drained: bool = False
    is_simulated: bool = False
    serves_files: bool = False
    agent_version: str = ""
    cpu_count: int | None = None
    memory_total_mib: int | None = None
    gpus: tuple[GpuInventory, ...] = ()
    failed_gpus: dict[str, str] = {}
    registered_at: datetime
    enrolled_at: datetime | None = None
    last_seen_at: datetime | None = None
    updated_at: datetime
    removed_at: datetime | None = None


def _registered(event: Told[ServerRegistered]) -> GpuServerRow:
    fact = event.fact
    return GpuServerRow(
        server_id=fact.server_id,
        name=fact.name,
        max_concurrent_tasks=fact.max_concurrent_tasks,
        registered_at=event.recorded_at,
        updated_at=event.recorded_at,
    )


def _enrolled(row: GpuServerRow, event: Told[ServerEnrolled]) -> GpuServerRow:
    at = event.recorded_at
    return replace(row, host=event.fact.host, enrolled_at=at, updated_at=at)


def _came_online(row: GpuServerRow, event: Told[ServerCameOnline]) -> GpuServerRow:
    fact = event.fact
    return replace(
        row,
        is_online=True,
        host=fact.host,
        agent_version=fact.agent_version,
        cpu_count=fact.cpu_count,
        memory_total_mib=fact.memory_total_mib,
        gpus=fact.gpus,
        failed_gpus={},
        is_simulated=fact.simulated,
        serves_files=fact.serves_files,
        last_seen_at=fact.seen_at,
        updated_at=event.recorded_at,
    )


def _went_offline(row: GpuServerRow, event: Told[ServerWentOffline]) -> GpuServerRow:
    return replace(
        row,
        is_online=False,
        last_seen_at=event.fact.last_seen_at,
        updated_at=event.recorded_at,
    )


def _gpu_failed(row: GpuServerRow, event: Told[GpuFailed]) -> GpuServerRow:
    failed = {**row.failed_gpus, event.fact.gpu_uuid: event.fact.detail}
    return replace(row, failed_gpus=failed, updated_at=event.recorded_at)


def _gpu_recovered(row: GpuServerRow, event: Told[GpuRecovered]) -> GpuServerRow:
    well = event.fact.gpu_uuid
    failed = {uuid: detail for uuid, detail in row.failed_gpus.items() if uuid != well}
    return replace(row, failed_gpus=failed, updated_at=event.recorded_at)


def _drained(row: GpuServerRow, event: Told[ServerDrained]) -> GpuServerRow:
    return replace(row, is_drained=True, updated_at=event.recorded_at)


def _resumed(row: GpuServerRow, event: Told[ServerResumed]) -> GpuServerRow:
    return replace(row, is_drained=False, updated_at=event.recorded_at)


def _changed(row: GpuServerRow, event: Told[ServerChanged]) -> GpuServerRow:
    fact = event.fact
    return replace(
        row,
        name=fact.name,
        max_concurrent_tasks=fact.max_concurrent_tasks,
        updated_at=event.recorded_at,
    )


def _removed(row: GpuServerRow, event: Told[ServerRemoved]) -> GpuServerRow:
    at = event.recorded_at
    return replace(row, is_online=False, removed_at=at, updated_at=at)


GPU_SERVERS: Final = ReadModel(
    name="gpu_servers",
    ddl=Path(__file__).with_suffix(".sql"),
    tables=(
        Table(
            name="gpu_servers",
            row=GpuServerRow,
            key=("server_id",),
            folds=(
                first(ServerRegistered, _registered),
                on(ServerEnrolled, _enrolled),
                on(ServerCameOnline, _came_online),
                on(ServerWentOffline, _went_offline),
                on(GpuFailed, _gpu_failed),
                on(GpuRecovered, _gpu_recovered),
                on(ServerDrained, _drained),
                on(ServerResumed, _resumed),
                on(ServerChanged, _changed),
                on(ServerRemoved, _removed),
            ),
        ),
    ),
)
