"""Facts of the telemetry log, kept for days and not for ever.

The stream of a heartbeat is its server, that of an output chunk its task.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from domain.facts import Fact
from domain.fleet.messages import GpuSample, HostSample, OutputLine, RunningTask


class HeartbeatReceived(Fact, frozen=True, tag="telemetry.heartbeat_received/1", kw_only=True):
    """A server said that it lives; ``sent_at`` is the agent's clock and only data.

    ``late``: it had waited at the broker while nobody took heartbeats in, so it says how the
    server fared some time ago, and not that it lives.
    """

    server_id: UUID
    boot_id: UUID
    sequence: int
    sent_at: datetime
    host: HostSample
    gpus: tuple[GpuSample, ...] = ()
    running: tuple[RunningTask, ...] = ()
    draining: bool = False
    simulated: bool = False
    late: bool = False


class TaskOutputReceived(
    Fact, frozen=True, tag="telemetry.task_output_received/1", kw_only=True
):
    """A task wrote lines."""

    task_id: UUID
    attempt: int
    sequence: int
    server_id: UUID
    lines: tuple[OutputLine, ...]


TelemetryFact: TypeAlias = HeartbeatReceived | TaskOutputReceived
