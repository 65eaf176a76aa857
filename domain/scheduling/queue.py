"""The queue: who is next among the tasks that wait.

Order: effective priority (what the task asked for plus what it gained by waiting, capped), then
the user with the fewest tasks on servers, then age. A change of one task costs the logarithm of
its user's line, so a queue of a hundred thousand is as quick as one of ten.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from msgspec import Struct

SECONDS_PER_MINUTE: Final = 60


class Aging(Struct, frozen=True):
    """One step of priority for every ``minutes_per_step`` waited, at most ``steps_max``."""

    minutes_per_step: int = 10
    steps_max: int = 3


class Waiting(Struct, frozen=True, kw_only=True):
    """An attempt that waits. ``order`` is the position of the event that queued its task."""

    task_id: UUID
    user_id: UUID
    attempt: int
    priority: int
    order: int
    since: datetime
    correlation_id: str = ""
    gpu_memory_mib: int = 0
    wants_files: bool = False


def effective_priority(waiting: Waiting, *, now: datetime, aging: Aging) -> int:
    """What the task asked for, and what it gained by waiting."""
    waited_s = max(0.0, (now - waiting.since).total_seconds())
    steps = int(waited_s // (aging.minutes_per_step * SECONDS_PER_MINUTE))
    return waiting.priority + min(steps, aging.steps_max)


_LineKey: TypeAlias = tuple[int, UUID]
_Turn: TypeAlias = tuple[int, int, int, _LineKey]


class Queue:
    """All that wait, in one line per user and priority, oldest first.

    A line is a heap of ``(order, task)``; a task that left it is dropped when it comes up.
    """

    def __init__(self) -> None:
        self._waiting: dict[UUID, Waiting] = {}
        self._lines: dict[_LineKey, list[tuple[int, UUID]]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, task_id: UUID) -> bool:
        return task_id in self._waiting

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._waiting.values())

    def add(self, waiting: Waiting) -> None:
        """Let a task wait (again)."""
        self._waiting[waiting.task_id] = waiting
        line = self._lines[waiting.priority, waiting.user_id]
        heapq.heappush(line, (waiting.order, waiting.task_id))

    def discard(self, task_id: UUID) -> Waiting | None:
        """Take a task out, wherever it stands."""
        return self._waiting.pop(task_id, None)

    def lines(self) -> list[_LineKey]:
        """The lines in which somebody stands."""
        empty = [key for key in self._lines if self.head(key) is None]
        for key in empty:
            del self._lines[key]
        return list(self._lines)

    def head(self, key: _LineKey) -> Waiting | None:
        """The oldest of a line."""
        line = self._lines[key]
        while line:
            order, task_id = line[0]
            waiting = self._waiting.get(task_id)
            if (
                waiting is not None
                and waiting.order == order
                and (waiting.priority, waiting.user_id) == key
            ):
                return waiting
            heapq.heappop(line)
        return None


class Turns:
    """One round of taking tasks from a queue in order, fairness counted as they are placed."""

    def __init__(
        self, queue: Queue, *, now: datetime, aging: Aging, running_by_user: Mapping[UUID, int]
    ) -> None:
        self._queue = queue
        self._now = now
        self._aging = aging
        self._running = dict(running_by_user)
        self._heap: list[_Turn] = []
        for key in queue.lines():
            self._enter(key)

    def take(self) -> Waiting | None:
        """The next task, taken out of the queue."""
        while self._heap:
            _, running, order, key = heapq.heappop(self._heap)
            head = self._queue.head(key)
            if head is None:
                continue
            if running != self._running.get(key[1], 0) or order != head.order:
                self._enter(key)
                continue
            self._queue.discard(head.task_id)
            self._enter(key)
            return head
        return None

    def placed(self, waiting: Waiting) -> None:
        """Count a task that got its place; its user's next turn comes later."""
        self._running[waiting.user_id] = self._running.get(waiting.user_id, 0) + 1

    def _enter(self, key: _LineKey) -> None:
        head = self._queue.head(key)
        if head is not None:
            rank = effective_priority(head, now=self._now, aging=self._aging)
            turn = (-rank, self._running.get(key[1], 0), head.order, key)
            heapq.heappush(self._heap, turn)
