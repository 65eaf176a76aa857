"""Decisions from heartbeats and their absence: online, offline, GPUs failed and well again."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from domain.fleet.events import (
    GpuFailed,
    GpuRecovered,
    ServerCameOnline,
    ServerFact,
    ServerWentOffline,
)
from domain.fleet.messages import Heartbeat, inventory_of
from domain.fleet.server import Server


def seen(server: Server, heartbeat: Heartbeat, *, now: datetime) -> tuple[ServerFact, ...]:
    """What a heartbeat changes; mostly nothing.

    A late heartbeat of a life of the agent that another has replaced changes nothing. One that
    says that the agent leaves takes the server offline at once. A GPU that is known and not
    reported has failed as much as one that is reported as failed.
    """
    if heartbeat.boot_id in server.former_boots:
        return ()
    if heartbeat.leaving:
        is_here = server.boot_id == heartbeat.boot_id
        return silent(server, last_seen_at=now, reason="stopped") if is_here else ()
    known = {gpu.uuid for gpu in server.gpus}
    reported = {gpu.uuid for gpu in heartbeat.gpus}
    if not server.online or server.boot_id != heartbeat.boot_id or reported - known:
        came_online = _came_online(server, heartbeat, now)
        return (came_online, *_failures(server, heartbeat, known=reported, failed=frozenset()))
    return (
        *_failures(server, heartbeat, known=known, failed=server.failed_gpus),
        *_recoveries(server, heartbeat),
    )


def silent(
    server: Server, *, last_seen_at: datetime, reason: Literal["silent", "stopped"]
) -> tuple[ServerWentOffline, ...]:
    """No heartbeat came for too long; nothing happens when that is known already."""
    if not server.online:
        return ()
    return (
        ServerWentOffline(server_id=server.server_id, last_seen_at=last_seen_at, reason=reason),
    )


def _came_online(server: Server, heartbeat: Heartbeat, now: datetime) -> ServerCameOnline:
    return ServerCameOnline(
        server_id=server.server_id,
        boot_id=heartbeat.boot_id,
        seen_at=now,
        agent_version=heartbeat.agent_version,
        host=heartbeat.hostname,
        cpu_count=heartbeat.host.cpu_count,
        memory_total_mib=heartbeat.host.memory_total_mib,
        gpus=inventory_of(heartbeat),
        simulated=heartbeat.simulated,
        serves_files=heartbeat.serves_files,
    )


def _failures(
    server: Server, heartbeat: Heartbeat, *, known: set[str], failed: frozenset[str]
) -> list[GpuFailed]:
    faults = {gpu.uuid: gpu.fault or "" for gpu in heartbeat.gpus if not gpu.healthy}
    faults |= dict.fromkeys(known - {gpu.uuid for gpu in heartbeat.gpus}, "not reported")
    return [
        GpuFailed(server_id=server.server_id, gpu_uuid=uuid, detail=detail)
        for uuid, detail in sorted(faults.items())
        if uuid not in failed
    ]


def _recoveries(server: Server, heartbeat: Heartbeat) -> list[GpuRecovered]:
    well = {gpu.uuid for gpu in heartbeat.gpus if gpu.healthy}
    return [
        GpuRecovered(server_id=server.server_id, gpu_uuid=uuid)
        for uuid in sorted(server.failed_gpus & well)
    ]
