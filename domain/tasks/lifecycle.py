"""The life of a task as a table: which fact leads from which phase to which.

Everything that moves a task between phases is in this table and nowhere else; the diagram in
the docs is generated from it. ``status`` is what the published contract shows of a phase.
"""

from __future__ import annotations

from typing import Final, Literal

from domain.facts import Fact
from domain.tasks.events import (
    Reason,
    StaleReportRefused,
    TaskAssigned,
    TaskCancelled,
    TaskCancelRequested,
    TaskCompleted,
    TaskDeleted,
    TaskFailed,
    TaskProgressed,
    TaskRequeued,
    TaskRetried,
    TaskStarted,
)

Phase = Literal[
    "pending",
    "assigned",
    "running",
    "cancelling",
    "completed",
    "failed",
    "cancelled",
    "deleted",
]
Status = Literal["pending", "running", "completed", "failed", "cancelled"]
Fault = Literal["user", "platform", "policy"]

TRANSITIONS: Final[dict[Phase, dict[type[Fact], Phase]]] = {
    "pending": {
        TaskAssigned: "assigned",
        TaskCancelled: "cancelled",
        TaskFailed: "failed",
    },
    "assigned": {
        TaskStarted: "running",
        TaskRequeued: "pending",
        TaskCancelRequested: "cancelling",
        TaskFailed: "failed",
    },
    "running": {
        TaskProgressed: "running",
        TaskRequeued: "pending",
        TaskCancelRequested: "cancelling",
        TaskCompleted: "completed",
        TaskFailed: "failed",
    },
    "cancelling": {
        TaskStarted: "cancelling",
        TaskProgressed: "cancelling",
        TaskCompleted: "completed",
        TaskFailed: "failed",
        TaskCancelled: "cancelled",
    },
    "completed": {TaskDeleted: "deleted"},
    "failed": {TaskRetried: "pending", TaskDeleted: "deleted"},
    "cancelled": {TaskRetried: "pending", TaskDeleted: "deleted"},
    "deleted": {},
}

ANYWHERE: Final[frozenset[type[Fact]]] = frozenset({StaleReportRefused})
"""Facts that may stand in any phase and move nothing."""

STATUS: Final[dict[Phase, Status]] = {
    "pending": "pending",
    "assigned": "pending",
    "running": "running",
    "cancelling": "running",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}

OPEN: Final[frozenset[Phase]] = frozenset({"pending", "assigned", "running", "cancelling"})
"""Phases in which the task counts against the user's limit and may hold money."""

FAULT: Final[dict[Reason, Fault]] = {
    "user_error": "user",
    "timeout": "user",
    "agent_lost": "platform",
    "gpu_error": "platform",
    "agent_refused": "platform",
    "balance_exhausted": "policy",
    "cancelled_by_user": "user",
    "cancelled_by_admin": "policy",
    "out_of_memory": "user",
    "output_quota": "user",
    "internal": "platform",
}
"""Whose fault an ending is; what is the platform's is free."""


def next_phase(phase: Phase, fact: Fact) -> Phase:
    """Where ``fact`` leads from ``phase``.

    Raises:
        AssertionError: the table has no such move; the stream is corrupt or a decision wrong.
    """
    if type(fact) in ANYWHERE:
        return phase
    after = TRANSITIONS[phase].get(type(fact))
    assert after is not None, f"no {type(fact).__name__} from {phase}"
    return after


def allows(phase: Phase, fact: type[Fact]) -> bool:
    """Whether ``fact`` may follow in ``phase``."""
    return fact in TRANSITIONS[phase]
