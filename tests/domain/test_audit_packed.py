"""What the refold packs away comes back as it was."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from msgspec.structs import astuple, replace

from domain.audit.packed import packed, unpacked
from domain.tasks.events import TaskRetried
from domain.tasks.task import TASK, Past, Refusal, Task

TASK_ID = UUID(int=7 << 100)
ENDED = Task(
    task_id=TASK_ID,
    user_id=UUID(int=8),
    task_type="video_analysis",
    config={},
    price_fen_per_minute=30,
    timeout_s=60,
    estimated_duration_min=None,
    phase="failed",
    attempt=3,
    progress=12.5,
    server_id=UUID(int=9),
    assigned_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    cancel_reason="timeout",
    lost=1,
    past=(Past(1, None, "failed"), Past(3, UUID(int=9), "refused")),
    refusals=frozenset({Refusal(2, UUID(int=9), "completed")}),
)


def test_a_packed_task_comes_back_whole() -> None:
    for task in (ENDED, replace(ENDED, past=(), refusals=frozenset(), server_id=None)):
        assert astuple(unpacked(packed(task))) == astuple(task)
        assert len(packed(task)) < 300


def test_a_task_that_was_packed_goes_on_as_any() -> None:
    again = TaskRetried(
        task_id=TASK_ID,
        user_id=UUID(int=8),
        attempt=4,
        hold_fen=30,
        price_fen_per_minute=30,
        timeout_s=60,
    )
    went_on, kept = TASK.evolve(unpacked(packed(ENDED)), again), TASK.evolve(ENDED, again)
    assert went_on is not None
    assert kept is not None
    assert astuple(went_on) == astuple(kept)
