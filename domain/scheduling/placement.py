"""Placement: which server a task gets.

A server with GPUs gives each task one of its own and runs no more tasks than it has well GPUs;
a server without runs tasks on its processors. The least loaded server comes first.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.scheduling.queue import Aging, Queue, Turns, Waiting, effective_priority

SKIPPED_MAX: Final = 64
"""Tasks too large for what is free that one round steps over, so that none blocks others."""


class FreeGpu(Struct, frozen=True, order=True):
    """A well GPU that runs nothing; 0 MiB when the server does not know its memory."""

    memory_mib: int
    uuid: str


class Room(Struct, frozen=True, kw_only=True):
    """What a server that takes work has left."""

    server_id: UUID
    slots: int
    used: int
    has_gpus: bool = False
    serves_files: bool = False
    free_gpus: tuple[FreeGpu, ...] = ()

    @property
    def free(self) -> int:
        """How many more tasks could run here now."""
        slots = max(0, self.slots - self.used)
        return min(slots, len(self.free_gpus)) if self.has_gpus else slots

    @property
    def load(self) -> float:
        """0 idle, 1 full."""
        return self.used / self.slots if self.slots else 1.0


class Placement(Struct, frozen=True, kw_only=True):
    """A task, its server and its GPUs; ``why`` is kept in the log."""

    waiting: Waiting
    server_id: UUID
    gpu_uuids: tuple[str, ...]
    why: dict[str, Any]


def fit(waiting: Waiting, room: Room) -> tuple[str, ...] | None:
    """The GPUs that the task would get here, none on a server without; ``None``: no room.

    Nor is there where the files that it names are not served. The smallest GPU that is large
    enough, so that large ones stay free for large tasks.
    """
    if room.free == 0 or (waiting.wants_files and not room.serves_files):
        return None
    if not room.has_gpus:
        return () if waiting.gpu_memory_mib == 0 else None
    enough = [gpu for gpu in room.free_gpus if gpu.memory_mib >= waiting.gpu_memory_mib]
    return (min(enough).uuid,) if enough else None


def occupied(room: Room, gpu_uuids: tuple[str, ...]) -> Room:
    """The room left after one more task."""
    left = tuple(gpu for gpu in room.free_gpus if gpu.uuid not in gpu_uuids)
    return replace(room, used=room.used + 1, free_gpus=left)


def place(
    queue: Queue,
    rooms: Iterable[Room],
    *,
    now: datetime,
    aging: Aging,
    running_by_user: dict[UUID, int],
    most: int,
) -> list[Placement]:
    """Take at most ``most`` tasks out of the queue, in order, and give each a place.

    A task that fits nowhere stays; those behind it may go first.
    """
    free = [(room.load, room.used, room.server_id.int, room) for room in rooms if room.free]
    if not free or not queue:
        return []
    heapq.heapify(free)
    candidates = len(free)
    turns = Turns(queue, now=now, aging=aging, running_by_user=running_by_user)
    placements: list[Placement] = []
    skipped: list[Waiting] = []
    while free and len(placements) < most and len(skipped) < SKIPPED_MAX:
        waiting = turns.take()
        if waiting is None:
            break
        found = _least_loaded(waiting, free)
        if found is None:
            skipped.append(waiting)
            continue
        room, gpu_uuids = found
        turns.placed(waiting)
        placements.append(
            Placement(
                waiting=waiting,
                server_id=room.server_id,
                gpu_uuids=gpu_uuids,
                why={
                    "candidates": candidates,
                    "effective_priority": effective_priority(waiting, now=now, aging=aging),
                    "waited_s": round(max(0.0, (now - waiting.since).total_seconds()), 3),
                    "server_load": f"{room.used}/{room.slots}",
                },
            )
        )
    for waiting in skipped:
        queue.add(waiting)
    return placements


_Free: TypeAlias = tuple[float, int, int, Room]


def _least_loaded(waiting: Waiting, free: list[_Free]) -> tuple[Room, tuple[str, ...]] | None:
    """The least loaded room that fits, taken into account in ``free``."""
    passed: list[_Free] = []
    found: tuple[Room, tuple[str, ...]] | None = None
    while free and found is None:
        entry = heapq.heappop(free)
        gpu_uuids = fit(waiting, entry[3])
        if gpu_uuids is None:
            passed.append(entry)
            continue
        found = (entry[3], gpu_uuids)
        left = occupied(entry[3], gpu_uuids)
        if left.free:
            heapq.heappush(free, (left.load, left.used, left.server_id.int, left))
    for entry in passed:
        heapq.heappush(free, entry)
    return found
