"""The published language between the platform and its agents, over NATS. JSON, by tag.

To an agent (``owl.agents.<server>.…``, stream ``OWL_AGENTS``): assignments, cancellations,
drains, and on plain NATS the receipts of its reports. From an agent
(``owl.reports.<server>.<kind>``, stream ``OWL_REPORTS``): reports, at least once; each has a
``report_id`` by which repeats are known. An agent keeps a report until its receipt says that
what it reported is committed.

A new field needs a default; a field is never renamed or given another unit.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.fleet.events import GpuInventory
from domain.tasks.events import Artifact, Reason

EVENTS_STREAM: Final = "OWL_EVENTS"
AGENTS_STREAM: Final = "OWL_AGENTS"
REPORTS_STREAM: Final = "OWL_REPORTS"
CHECKPOINTS_STREAM: Final = "OWL_CHECKPOINTS"
CHECKPOINTS: Final = "owl.checkpoints"
"""Where the newest signed checkpoint of the log is published."""
SUBJECTS: Final[dict[str, tuple[str, ...]]] = {
    EVENTS_STREAM: ("owl.events.>",),
    AGENTS_STREAM: ("owl.agents.*.work",),
    REPORTS_STREAM: ("owl.reports.>",),
    CHECKPOINTS_STREAM: (CHECKPOINTS,),
}


def work_subject(server_id: UUID) -> str:
    """Where a server's assignments, cancellations and drains are published (JetStream)."""
    return f"owl.agents.{server_id}.work"


def work_consumer(server_id: UUID) -> str:
    """The durable pull consumer that the platform makes for a server on ``OWL_AGENTS``."""
    return f"agent-{server_id}"


def receipts_subject(server_id: UUID) -> str:
    """Where a server hears which of its reports are committed (plain NATS)."""
    return f"owl.agents.{server_id}.receipts"


def report_subject(server_id: UUID, report: Report) -> str:
    """Where a server publishes a report."""
    return f"owl.reports.{server_id}.{KINDS[type(report)]}"


def artifact_bucket(server_id: UUID) -> str:
    """The JetStream object store where a server leaves files; objects are named by SHA-256."""
    return f"owl-artifacts-{server_id}"


class Assigned(Struct, frozen=True, kw_only=True, tag="assigned"):
    """Run this attempt now. ``position`` is the event that says so."""

    task_id: UUID
    attempt: int
    task_type: str
    config: dict[str, Any]
    timeout_s: int
    gpu_uuids: tuple[str, ...]
    position: int


class CancelRequested(Struct, frozen=True, kw_only=True, tag="cancel_requested"):
    """Stop this attempt and confirm with ``Ended(outcome="cancelled")``."""

    task_id: UUID
    attempt: int


class Drained(Struct, frozen=True, kw_only=True, tag="drained"):
    """An operator drained (or resumed) the server; for the agent's display only."""

    drained: bool


WorkMessage: TypeAlias = Assigned | CancelRequested | Drained


class Receipt(Struct, frozen=True, kw_only=True):
    """These reports are committed; the newest confirmed heartbeat renews the agent's lease.

    ``heartbeat_sequence`` is the highest committed heartbeat of this life of the agent.
    ``heartbeat_interval_s`` and ``lease_lost_after_s`` are the configuration's: an agent that
    has had no heartbeat confirmed for most of the latter stops its own work.
    """

    report_ids: tuple[UUID, ...] = ()
    boot_id: UUID | None = None
    heartbeat_sequence: int | None = None
    heartbeat_interval_s: int = 5
    lease_lost_after_s: int = 120


class GpuSample(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One GPU now. Percent 0-100, MiB, degrees Celsius, watts; ``None`` is not available."""

    index: int
    uuid: str
    name: str = ""
    usage_percent: float | None = None
    memory_used_mib: int | None = None
    memory_total_mib: int | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    encoder_percent: float | None = None
    decoder_percent: float | None = None
    healthy: bool = True
    fault: str | None = None
    simulated: bool = False


class HostSample(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The host now. Percent 0-100, MiB; ``None`` is not available."""

    cpu_percent: float | None = None
    cpu_count: int | None = None
    memory_percent: float | None = None
    memory_total_mib: int | None = None
    disk_free_mib: int | None = None
    load_1m: float | None = None


class RunningTask(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An attempt that the agent has: waiting to begin or running."""

    task_id: UUID
    attempt: int
    progress: float = 0.0
    gpu_uuids: tuple[str, ...] = ()


class Heartbeat(Struct, frozen=True, kw_only=True, tag="heartbeat", gc=False):
    """I live, and this is how I am. ``sequence`` counts from 1 in each life (``boot_id``)."""

    report_id: UUID
    server_id: UUID
    boot_id: UUID
    sequence: int
    sent_at: datetime
    agent_version: str
    hostname: str
    host: HostSample
    gpus: tuple[GpuSample, ...] = ()
    running: tuple[RunningTask, ...] = ()
    draining: bool = False
    """The agent is stopping and wants no new work."""
    leaving: bool = False
    """It has stopped: this is the last heartbeat of this life."""
    simulated: bool = False
    serves_files: bool = False
    """It has a media directory, so tasks here may name ``file:`` addresses."""


class Began(Struct, frozen=True, kw_only=True, tag="began"):
    """The attempt's process runs."""

    report_id: UUID
    server_id: UUID
    task_id: UUID
    attempt: int
    sent_at: datetime
    sandbox: str = "none"


class Advanced(Struct, frozen=True, kw_only=True, tag="advanced"):
    """How far the attempt is, 0-100."""

    report_id: UUID
    server_id: UUID
    task_id: UUID
    attempt: int
    sent_at: datetime
    progress: float
    note: str = ""


class OutputLine(Struct, frozen=True, kw_only=True, gc=False):
    """One line that a task wrote; at most 4,096 characters."""

    at: datetime
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
    text: str


class Output(Struct, frozen=True, kw_only=True, tag="output"):
    """A chunk of what the attempt wrote; ``sequence`` counts from 1 in each attempt."""

    report_id: UUID
    server_id: UUID
    task_id: UUID
    attempt: int
    sequence: int
    sent_at: datetime
    lines: tuple[OutputLine, ...]


class Ended(Struct, frozen=True, kw_only=True, tag="ended"):
    """The attempt is over and its process is dead. ``run_ms`` is by the monotonic clock.

    ``refused`` means it never began here (no free slot, unknown task type, agent stopping).
    ``reason`` is required unless completed or cancelled.
    """

    report_id: UUID
    server_id: UUID
    task_id: UUID
    attempt: int
    sent_at: datetime
    outcome: Literal["completed", "failed", "cancelled", "refused"]
    run_ms: int
    reason: Reason | None = None
    error_message: str = ""
    result: dict[str, Any] = {}
    artifacts: tuple[Artifact, ...] = ()


class LogLine(Struct, frozen=True, kw_only=True, gc=False):
    """One line of the agent's own log; ``event`` at most 200 characters, no secret in it."""

    at: datetime
    level: Literal["WARNING", "ERROR", "CRITICAL"]
    event: str
    fields: dict[str, str] = {}


class Logged(Struct, frozen=True, kw_only=True, tag="logged"):
    """What the agent has to say about itself: best effort, said once, ``dropped`` not at all.

    On plain NATS: no consumer keeps it, and no receipt is given.
    """

    report_id: UUID
    server_id: UUID
    sent_at: datetime
    lines: tuple[LogLine, ...]
    dropped: int = 0


Report: TypeAlias = Heartbeat | Began | Advanced | Output | Ended | Logged

KINDS: Final[dict[type[Struct], str]] = {
    Heartbeat: "heartbeat",
    Began: "started",
    Advanced: "progress",
    Output: "output",
    Ended: "finished",
    Logged: "log",
}
"""The last token of a report's subject."""

ENCODER: Final = msgspec.json.Encoder()
WORK_DECODER: Final = msgspec.json.Decoder(WorkMessage)
REPORT_DECODER: Final = msgspec.json.Decoder(Report)
RECEIPT_DECODER: Final = msgspec.json.Decoder(Receipt)


def inventory_of(heartbeat: Heartbeat) -> tuple[GpuInventory, ...]:
    """What the server has, without what changes from moment to moment."""
    return tuple(
        GpuInventory(
            index=gpu.index,
            uuid=gpu.uuid,
            name=gpu.name,
            memory_total_mib=gpu.memory_total_mib,
            simulated=gpu.simulated,
        )
        for gpu in heartbeat.gpus
    )
