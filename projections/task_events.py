"""Task events: where the log tells of a task outside the task's own stream.

A task's log is made of what its own stream says, which the event log finds by its index, and of
what its owner's account says about it, which stands in that account's stream among all that
is about other tasks. Only where that is has to be remembered: a position for each. What
an event says is read from the log itself (``task_event_lines``), so nothing is kept twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import Struct

from domain.envelope import Told
from domain.facts import Fact
from domain.tasks.events import (
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
    TaskSubmitted,
    TaskSubmittedInClear,
)
from domain.wallet.events import HoldExtended, HoldPlaced, HoldSettled
from projections.read_model import ReadModel, Table, first

Level = Literal["INFO", "WARNING", "ERROR"]

OWN: Final[dict[type[Fact], Level]] = {
    TaskSubmitted: "INFO",
    TaskSubmittedInClear: "INFO",
    TaskAssigned: "INFO",
    TaskStarted: "INFO",
    TaskProgressed: "INFO",
    TaskCancelRequested: "WARNING",
    TaskCompleted: "INFO",
    TaskFailed: "ERROR",
    TaskCancelled: "WARNING",
    TaskRequeued: "WARNING",
    TaskRetried: "INFO",
    TaskDeleted: "INFO",
    StaleReportRefused: "WARNING",
}
"""Of the task's own stream."""
ELSEWHERE: Final[dict[type[Fact], Level]] = {
    HoldPlaced: "INFO",
    HoldExtended: "INFO",
    HoldSettled: "INFO",
}
"""Of its owner's account."""
LEVELS: Final = OWN | ELSEWHERE


class TaskEventRow(Struct, frozen=True, kw_only=True, gc=False):
    """That the event at ``position``, of another stream, is about a task."""

    position: int
    task_id: UUID


def _noted(event: Told[Any]) -> TaskEventRow:
    return TaskEventRow(position=event.position, task_id=event.fact.task_id)


TASK_EVENTS: Final = ReadModel(
    name="task_events",
    ddl=Path(__file__).with_suffix(".sql"),
    tables=(
        Table(
            name="task_events",
            row=TaskEventRow,
            key=("position",),
            folds=tuple(first(fact, _noted) for fact in ELSEWHERE),
        ),
    ),
)
