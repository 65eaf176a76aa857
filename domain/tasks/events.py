"""Facts about tasks; the stream's id is ``task_id``.

``attempt`` counts from 1 and fences late reports: what an older attempt says changes nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

from msgspec import Struct

from domain.facts import Fact, Private
from domain.money import Fen

Reason = Literal[
    "user_error",
    "timeout",
    "agent_lost",
    "gpu_error",
    "agent_refused",
    "balance_exhausted",
    "cancelled_by_user",
    "cancelled_by_admin",
    "out_of_memory",
    "output_quota",
    "internal",
]


class Artifact(Struct, frozen=True, kw_only=True):
    """A file that a task made; its bytes are in the artifact store under ``sha256``."""

    name: str
    size_bytes: int
    sha256: str
    media_type: str


class TaskSubmitted(Fact, frozen=True, tag="tasks.task_submitted/2", kw_only=True):
    """A user asked for work. The price is frozen here."""

    task_id: UUID
    user_id: UUID
    title: Private
    task_type: str
    description: Private = ""
    priority: int = 1
    estimated_duration_min: int | None = None
    config: dict[str, Any] = {}
    price_fen_per_minute: Fen = 0
    hold_fen: Fen = 0
    timeout_s: int = 3600


class TaskSubmittedInClear(Fact, frozen=True, tag="tasks.task_submitted/1", kw_only=True):
    """As it was until what users wrote was sealed: read for ever, and never written.

    It says the same in fields of the same names, so whoever folds one folds the other.
    """

    task_id: UUID
    user_id: UUID
    title: str
    task_type: str
    description: str = ""
    priority: int = 1
    estimated_duration_min: int | None = None
    config: dict[str, Any] = {}
    price_fen_per_minute: Fen = 0
    hold_fen: Fen = 0
    timeout_s: int = 3600


class TaskAssigned(Fact, frozen=True, tag="tasks.task_assigned/1", kw_only=True):
    """The scheduler gave an attempt to a server; holds all that the agent needs.

    ``why`` keeps the scheduler's reasons: candidates seen, effective priority, waited seconds.
    ``assigned_at`` is the platform's clock: no attempt is charged for more than has passed
    since.
    """

    task_id: UUID
    user_id: UUID
    attempt: int
    server_id: UUID
    task_type: str
    config: dict[str, Any] = {}
    timeout_s: int = 3600
    gpu_uuids: tuple[str, ...] = ()
    why: dict[str, Any] = {}
    assigned_at: datetime | None = None


class TaskStarted(Fact, frozen=True, tag="tasks.task_started/1", kw_only=True):
    """The agent began; ``started_at`` is the platform's clock."""

    task_id: UUID
    attempt: int
    server_id: UUID
    started_at: datetime


class TaskProgressed(Fact, frozen=True, tag="tasks.task_progressed/1", kw_only=True):
    """How far the attempt is, 0 to 100; recorded coarsely."""

    task_id: UUID
    attempt: int
    progress: float
    note: str = ""


class TaskCancelRequested(Fact, frozen=True, tag="tasks.task_cancel_requested/1", kw_only=True):
    """Somebody wants an assigned or running task to stop; the agent has yet to confirm."""

    task_id: UUID
    attempt: int
    server_id: UUID
    reason: Reason
    requested_at: datetime


class TaskCompleted(Fact, frozen=True, tag="tasks.task_completed/1", kw_only=True):
    """The attempt succeeded."""

    task_id: UUID
    user_id: UUID
    attempt: int
    server_id: UUID
    run_ms: int
    cost_fen: Fen
    finished_at: datetime
    result: dict[str, Any] = {}
    artifacts: tuple[Artifact, ...] = ()


class TaskFailed(Fact, frozen=True, tag="tasks.task_failed/1", kw_only=True):
    """The attempt ended without success, or the task could never run."""

    task_id: UUID
    user_id: UUID
    attempt: int
    reason: Reason
    run_ms: int
    cost_fen: Fen
    finished_at: datetime
    server_id: UUID | None = None
    error_message: str = ""


class TaskCancelled(Fact, frozen=True, tag="tasks.task_cancelled/1", kw_only=True):
    """The task was stopped on somebody's wish."""

    task_id: UUID
    user_id: UUID
    attempt: int
    reason: Reason
    run_ms: int
    cost_fen: Fen
    finished_at: datetime
    server_id: UUID | None = None


class TaskRequeued(Fact, frozen=True, tag="tasks.task_requeued/1", kw_only=True):
    """An attempt was lost through the platform's fault; ``attempt`` is the next one, free."""

    task_id: UUID
    user_id: UUID
    attempt: int
    reason: Reason
    lost_server_id: UUID
    counted: bool = True


class TaskRetried(Fact, frozen=True, tag="tasks.task_retried/1", kw_only=True):
    """The user ran an ended task again; ``attempt`` is the new one.

    Repeats what a scheduler needs to place the task, which has forgotten ended ones.
    """

    task_id: UUID
    user_id: UUID
    attempt: int
    price_fen_per_minute: Fen
    hold_fen: Fen
    timeout_s: int
    priority: int = 1
    gpu_memory_mib: int = 0
    wants_files: bool = False


class TaskDeleted(Fact, frozen=True, tag="tasks.task_deleted/1", kw_only=True):
    """The user no longer wants to see the task; money and totals stay."""

    task_id: UUID
    user_id: UUID


class StaleReportRefused(Fact, frozen=True, tag="tasks.stale_report_refused/1", kw_only=True):
    """An agent reported on an attempt that is no longer its own; nothing was changed."""

    task_id: UUID
    attempt: int
    current_attempt: int
    server_id: UUID
    report: str


TaskFact: TypeAlias = (
    TaskSubmitted
    | TaskSubmittedInClear
    | TaskAssigned
    | TaskStarted
    | TaskProgressed
    | TaskCancelRequested
    | TaskCompleted
    | TaskFailed
    | TaskCancelled
    | TaskRequeued
    | TaskRetried
    | TaskDeleted
    | StaleReportRefused
)
