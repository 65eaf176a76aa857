"""GPU status: the newest heartbeat of each server, from the telemetry log."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from msgspec import Struct

from domain.envelope import Told
from domain.fleet.messages import GpuSample, RunningTask
from domain.telemetry.events import HeartbeatReceived
from projections.read_model import ReadModel, Table, upsert


class GpuStatusRow(Struct, frozen=True, kw_only=True, gc=False):
    """A server's figures. ``received_at`` is the platform's clock, ``sent_at`` the agent's."""

    server_id: UUID
    boot_id: UUID
    sequence: int
    received_at: datetime
    sent_at: datetime
    cpu_percent: float | None
    memory_percent: float | None
    gpus: tuple[GpuSample, ...]
    running: tuple[RunningTask, ...]
    is_draining: bool
    is_simulated: bool


def _newest(row: GpuStatusRow | None, event: Told[HeartbeatReceived]) -> GpuStatusRow | None:
    fact = event.fact
    if fact.late:
        return row  # how old it is nobody knows: the next one is shown
    if row is not None and row.boot_id == fact.boot_id and row.sequence >= fact.sequence:
        return row  # sent before the one that is shown, or the same again
    return GpuStatusRow(
        server_id=fact.server_id,
        boot_id=fact.boot_id,
        sequence=fact.sequence,
        received_at=event.recorded_at,
        sent_at=fact.sent_at,
        cpu_percent=fact.host.cpu_percent,
        memory_percent=fact.host.memory_percent,
        gpus=fact.gpus,
        running=fact.running,
        is_draining=fact.draining,
        is_simulated=fact.simulated,
    )


GPU_STATUS: Final = ReadModel(
    name="gpu_status",
    source="telemetry",
    ddl=Path(__file__).with_suffix(".sql"),
    tables=(
        Table(
            name="gpu_status",
            row=GpuStatusRow,
            key=("server_id",),
            folds=(upsert(HeartbeatReceived, _newest),),
        ),
    ),
)
