"""Task output: what tasks wrote, from the telemetry log; a repeated chunk counts once."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from msgspec import Struct

from domain.envelope import Told
from domain.fleet.messages import OutputLine
from domain.telemetry.events import TaskOutputReceived
from projections.read_model import ReadModel, Table, Tally, upsert


class TaskOutputRow(Struct, frozen=True, kw_only=True, gc=False):
    """One chunk; ``recorded_at`` is the platform's clock, a line's ``at`` the agent's."""

    task_id: UUID
    attempt: int
    sequence: int
    position: int
    version: int
    server_id: UUID
    recorded_at: datetime
    line_count: int
    lines: tuple[OutputLine, ...]


def _received(row: TaskOutputRow | None, event: Told[TaskOutputReceived]) -> TaskOutputRow:
    if row is not None:
        return row
    fact = event.fact
    return TaskOutputRow(
        task_id=fact.task_id,
        attempt=fact.attempt,
        sequence=fact.sequence,
        position=event.position,
        version=event.version,
        server_id=fact.server_id,
        recorded_at=event.recorded_at,
        line_count=len(fact.lines),
        lines=fact.lines,
    )


_TABLE: Final = Table(
    name="task_output",
    row=TaskOutputRow,
    key=("task_id", "attempt", "sequence"),
    folds=(upsert(TaskOutputReceived, _received),),
)
TASK_OUTPUT: Final = ReadModel(
    name="task_output",
    source="telemetry",
    ddl=Path(__file__).with_suffix(".sql"),
    tables=(_TABLE,),
    tallies=(
        Tally(
            name="task_output_lines",
            of=_TABLE,
            columns=("task_id",),
            group=lambda row: (row.task_id.int,),
            amount=lambda row: row.line_count,
        ),
    ),
)
