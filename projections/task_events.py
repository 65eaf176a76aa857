"""Task events: the lines of a task's log that the business log tells."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import Struct

from domain.envelope import Recorded
from domain.facts import Fact, tag_of
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
)
from domain.wallet.events import HoldExtended, HoldPlaced, HoldSettled
from projections.read_model import ReadModel, Table, first

Level = Literal["INFO", "WARNING", "ERROR"]

LEVELS: Final[dict[type[Fact], Level]] = {
    TaskSubmitted: "INFO",
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
    HoldPlaced: "INFO",
    HoldExtended: "INFO",
    HoldSettled: "INFO",
}
LEFT_OUT: Final = frozenset(
    {"task_id", "user_id", "attempt", "description", "config", "result", "postings"}
)
"""Said elsewhere, or too long for a line."""


class TaskEventRow(Struct, frozen=True, kw_only=True, gc=False):
    """One event of a task; ``data`` is what the fact says, ``stream`` at ``version`` its id."""

    position: int
    task_id: UUID
    stream: UUID
    version: int
    tag: str
    level: Level
    attempt: int
    actor: str
    recorded_at: datetime
    data: dict[str, Any]


def _noter(kind: type[Fact]) -> Callable[[Recorded[Any]], TaskEventRow]:
    """The fold of one kind; what is the same for all of its events is looked up once."""
    tag, level = tag_of(kind), LEVELS[kind]
    has_attempt = "attempt" in kind.__struct_fields__
    fields = tuple(name for name in kind.__struct_fields__ if name not in LEFT_OUT)

    def noted(event: Recorded[Any]) -> TaskEventRow:
        fact = event.fact
        return TaskEventRow(
            position=event.position,
            task_id=fact.task_id,
            stream=event.stream,
            version=event.version,
            tag=tag,
            level=level,
            attempt=fact.attempt if has_attempt else 1,
            actor=event.actor,
            recorded_at=event.recorded_at,
            data={name: getattr(fact, name) for name in fields},
        )

    return noted


TASK_EVENTS: Final = ReadModel(
    name="task_events",
    ddl=Path(__file__).with_suffix(".sql"),
    tables=(
        Table(
            name="task_events",
            row=TaskEventRow,
            key=("position",),
            folds=tuple(first(fact, _noter(fact)) for fact in LEVELS),
        ),
    ),
)
