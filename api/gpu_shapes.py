"""Servers and the farm as the contract prints them: memory in GiB, usage in percent.

Figures of a server that is not online are null, never the last ones known.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from api.envelope import shown
from projections.gpu_cluster import ClusterOverview, ServerNow, ServerStatus, ServerView

_MIB_PER_GIB = 1024


class GpuItem(Struct, kw_only=True):
    """One GPU of a server; ``fault`` is null while it is well."""

    gpu_id: int
    uuid: str
    name: str
    memory_total: float | None
    fault: str | None
    simulated: bool


class ServerItem(Struct, kw_only=True):
    """One server. Memory is that of its GPUs, in GiB."""

    id: UUID
    name: str
    host: str
    status: ServerStatus
    current_tasks: int
    max_concurrent_tasks: int
    total_memory: float
    used_memory: float | None
    gpu_count: int
    gpus: list[GpuItem]
    cpu_usage: float | None
    memory_usage: float | None
    last_heartbeat: datetime | None
    simulated: bool
    agent_version: str
    registered_at: datetime | None
    enrolled_at: datetime | None


class GpuUsage(Struct, kw_only=True):
    """One GPU now. Percent, GiB, degrees Celsius, watts; null is not available, never zero."""

    gpu_id: int
    uuid: str
    name: str
    usage: float | None
    memory_used: float | None
    memory_total: float | None
    temperature: float | None
    power: float | None
    healthy: bool


class RunningItem(Struct, kw_only=True):
    """A task that runs there."""

    task_id: UUID
    attempt: int
    progress: float


class ServerStatusItem(Struct, kw_only=True):
    """One server now; ``timestamp`` says from when the figures are."""

    server_id: UUID
    status: ServerStatus
    cpu_usage: float | None
    memory_usage: float | None
    gpu_usage: list[GpuUsage]
    running_tasks: list[RunningItem]
    timestamp: datetime | None
    simulated: bool


class ClusterItem(Struct, kw_only=True):
    """The farm; memory and usage are over online servers only."""

    total_servers: int
    online_servers: int
    offline_servers: int
    total_gpus: int
    busy_gpus: int
    idle_gpus: int
    total_running_tasks: int
    queue_length: int
    average_gpu_usage: float
    total_memory: float
    used_memory: float


def gib(amount_mib: int) -> float:
    """MiB as GiB with one decimal."""
    return round(amount_mib / _MIB_PER_GIB, 1)


def _gib(amount_mib: int | None) -> float | None:
    return None if amount_mib is None else gib(amount_mib)


def _percent(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def server_of(server: ServerView, *, is_whole: bool) -> ServerItem:
    """A server in the contract's shape; what only operators may know is empty for others."""
    return ServerItem(
        id=server.server_id,
        name=server.name,
        host=server.host if is_whole else "",
        status=server.status,
        current_tasks=server.current_tasks,
        max_concurrent_tasks=server.max_concurrent_tasks,
        total_memory=gib(server.gpu_memory_total_mib),
        used_memory=_gib(server.gpu_memory_used_mib),
        gpu_count=server.gpu_count,
        gpus=[
            GpuItem(
                gpu_id=gpu.index,
                uuid=gpu.uuid,
                name=gpu.name,
                memory_total=_gib(gpu.memory_total_mib),
                fault=server.failed_gpus.get(gpu.uuid),
                simulated=gpu.simulated,
            )
            for gpu in server.gpus
        ],
        cpu_usage=_percent(server.cpu_percent),
        memory_usage=_percent(server.memory_percent),
        last_heartbeat=shown(server.last_heartbeat_at),
        simulated=server.is_simulated,
        agent_version=server.agent_version if is_whole else "",
        registered_at=shown(server.registered_at),
        enrolled_at=shown(server.enrolled_at),
    )


def server_status_of(now: ServerNow) -> ServerStatusItem:
    """A server's figures in the contract's shape."""
    return ServerStatusItem(
        server_id=now.server_id,
        status=now.status,
        cpu_usage=_percent(now.cpu_percent),
        memory_usage=_percent(now.memory_percent),
        gpu_usage=[
            GpuUsage(
                gpu_id=gpu.index,
                uuid=gpu.uuid,
                name=gpu.name,
                usage=_percent(gpu.usage_percent),
                memory_used=_gib(gpu.memory_used_mib),
                memory_total=_gib(gpu.memory_total_mib),
                temperature=_percent(gpu.temperature_c),
                power=_percent(gpu.power_w),
                healthy=gpu.healthy,
            )
            for gpu in now.gpus
        ],
        running_tasks=[
            RunningItem(
                task_id=task.task_id,
                attempt=task.attempt,
                progress=round(task.progress, 1),
            )
            for task in now.running
        ],
        timestamp=shown(now.at),
        simulated=now.is_simulated,
    )


def cluster_of(overview: ClusterOverview) -> ClusterItem:
    """The farm in the contract's shape."""
    return ClusterItem(
        total_servers=overview.total_servers,
        online_servers=overview.online_servers,
        offline_servers=overview.offline_servers,
        total_gpus=overview.total_gpus,
        busy_gpus=overview.busy_gpus,
        idle_gpus=overview.idle_gpus,
        total_running_tasks=overview.total_running_tasks,
        queue_length=overview.queue_length,
        average_gpu_usage=round(overview.average_gpu_usage_percent, 1),
        total_memory=gib(overview.gpu_memory_total_mib),
        used_memory=gib(overview.gpu_memory_used_mib),
    )
