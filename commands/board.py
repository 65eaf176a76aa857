"""The board: what waits, what is on servers, and the servers, as the business log says.

One per process, folded by everybody and not only by who leads, so that a standby is warm. It
holds open tasks and never ended ones, so it does not grow with history. Law: it changes by
facts alone (``commands.board_folds``), but for reservations, which stand for facts to come,
and strays, of which heartbeats tell: attempts that are not a server's and may still run there.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from domain.fleet.messages import RunningTask
from domain.fleet.server import Server
from domain.money import Fen
from domain.scheduling.placement import FreeGpu, Placement, Room
from domain.scheduling.queue import Queue, Waiting
from domain.system.configuration import CONFIGURATION, Configuration

STRAYS_KEPT: Final = 1_000
"""Of one server; no agent has more tasks than a quarter of that."""
FORMER_KEPT: Final = 20_000
"""Ended attempts whose server is remembered: their last output may still be on its way."""


class OpenTask(Struct, frozen=True, kw_only=True):
    """What is remembered of a task until it ends. ``order``: the position that queued it."""

    task_id: UUID
    user_id: UUID
    priority: int
    order: int
    since: datetime
    correlation_id: str
    gpu_memory_mib: int
    wants_files: bool
    price_fen_per_minute: Fen
    held_fen: Fen


class Attempt(Struct, frozen=True, kw_only=True):
    """An attempt that a server has. ``boot_id`` is the life of the agent that got it."""

    task_id: UUID
    user_id: UUID
    attempt: int
    server_id: UUID
    boot_id: UUID | None
    task_type: str
    config: dict[str, Any]
    timeout_s: int
    gpu_uuids: tuple[str, ...]
    position: int
    correlation_id: str
    assigned_at: datetime
    began_at: datetime | None = None
    cancel_requested_at: datetime | None = None


class Former(Struct, frozen=True):
    """An attempt that a server had. ``is_over`` when the server itself has said so."""

    server_id: UUID
    gpu_uuids: tuple[str, ...]
    is_over: bool


class Snapshot(Struct, frozen=True, kw_only=True):
    """A board at a position, to be kept over restarts."""

    position: int
    configuration: Configuration
    tasks: list[OpenTask]
    waiting: list[Waiting]
    attempts: list[Attempt]
    servers: list[Server]
    gpu_failed_at: list[tuple[UUID, str, datetime]]


class Board:
    """What the log says now. Not thread-safe: it belongs to one event loop."""

    def __init__(self) -> None:
        self.position = 0
        self.configuration: Configuration = CONFIGURATION.initial
        self.tasks: dict[UUID, OpenTask] = {}
        self.queue = Queue()
        self.attempts: dict[UUID, Attempt] = {}
        self.servers: dict[UUID, Server] = {}
        self.gpu_failed_at: dict[tuple[UUID, str], datetime] = {}
        self.running_by_user: dict[UUID, int] = defaultdict(int)
        self.touched: set[UUID] = set()
        """Servers whose room may have changed since the scheduler looked."""
        self.on_offer: Callable[[Attempt], None] | None = None
        """Told of each attempt that its server must hear about: assigned, or to be stopped."""
        self._on_server: dict[UUID, set[UUID]] = defaultdict(set)
        self._formerly: OrderedDict[tuple[UUID, int], Former] = OrderedDict()
        self._strays: dict[UUID, dict[tuple[UUID, int], tuple[str, ...]]] = {}
        self._reserved: dict[UUID, Placement] = {}
        self._reserved_on: dict[UUID, set[UUID]] = defaultdict(set)

    # ── questions ──────────────────────────────────────────────────────────────────────────

    def online(self) -> list[UUID]:
        """Servers that the log says are there."""
        return [server_id for server_id, server in self.servers.items() if server.online]

    def enrolled(self) -> list[UUID]:
        """Servers that may sign in."""
        return [
            server_id
            for server_id, server in self.servers.items()
            if server.public_key is not None and not server.removed
        ]

    def attempts_on(self, server_id: UUID) -> Iterator[Attempt]:
        """What a server has."""
        return (self.attempts[task_id] for task_id in self._on_server.get(server_id, ()))

    def has(self, server_id: UUID, task_id: UUID, attempt: int) -> bool:
        """Whether this attempt is that server's now."""
        mine = self.attempts.get(task_id)
        return mine is not None and mine.server_id == server_id and mine.attempt == attempt

    def owner_of(self, task_id: UUID, attempt: int) -> UUID | None:
        """The server that has this attempt, or had it not long ago."""
        mine = self.attempts.get(task_id)
        if mine is not None and mine.attempt == attempt:
            return mine.server_id
        former = self._formerly.get((task_id, attempt))
        return None if former is None else former.server_id

    def room_of(self, server_id: UUID) -> Room | None:
        """What is left on a server, ``None`` when it takes no work.

        Reservations count, and so do strays: on a GPU where an attempt may still run, no other
        is placed.
        """
        server = self.servers.get(server_id)
        if server is None or not server.takes_work:
            return None
        reserved = self._reserved_on.get(server_id, ())
        strays = self._strays.get(server_id, {})
        busy = {uuid for mine in self.attempts_on(server_id) for uuid in mine.gpu_uuids}
        busy.update(uuid for gpu_uuids in strays.values() for uuid in gpu_uuids)
        busy.update(uuid for task_id in reserved for uuid in self._reserved[task_id].gpu_uuids)
        return Room(
            server_id=server_id,
            slots=server.max_concurrent_tasks,
            used=len(self._on_server.get(server_id, ())) + len(reserved) + len(strays),
            has_gpus=bool(server.gpus),
            serves_files=server.serves_files,
            free_gpus=tuple(
                FreeGpu(gpu.memory_total_mib or 0, gpu.uuid)
                for gpu in server.gpus
                if gpu.uuid not in busy and gpu.uuid not in server.failed_gpus
            ),
        )

    # ── what a server has ──────────────────────────────────────────────────────────────────

    def give(self, attempt: Attempt) -> None:
        """A server has this attempt from now on; its reservation is fulfilled."""
        self.unreserve(attempt.task_id)
        self.take_back(attempt.task_id, is_over=False)
        self.queue.discard(attempt.task_id)
        self.attempts[attempt.task_id] = attempt
        self._on_server[attempt.server_id].add(attempt.task_id)
        self.running_by_user[attempt.user_id] += 1
        self.touched.add(attempt.server_id)

    def take_back(self, task_id: UUID, *, is_over: bool) -> None:
        """No server has an attempt of this task any more.

        Unless its server has said that it ``is_over``, it is a stray there: it may still run,
        until a heartbeat comes that does not list it.
        """
        attempt = self.attempts.pop(task_id, None)
        if attempt is None:
            return
        server_id, key = attempt.server_id, (task_id, attempt.attempt)
        self._on_server[server_id].discard(task_id)
        self._formerly[key] = Former(server_id, attempt.gpu_uuids, is_over)
        if len(self._formerly) > FORMER_KEPT:
            self._formerly.popitem(last=False)
        if not is_over:
            strays = self._strays.setdefault(server_id, {})
            strays[key] = attempt.gpu_uuids
            if len(strays) > STRAYS_KEPT:
                del strays[next(iter(strays))]
        self.touched.add(server_id)
        self._count_down(attempt.user_id)

    def note_listed(self, server_id: UUID, listed: Iterable[RunningTask]) -> int:
        """A heartbeat lists these attempts; how many strays there are now that were none."""
        strays = dict(self._strays_of(server_id, listed))
        known = self._strays.get(server_id, {})
        if strays == known:
            return 0
        if strays:
            self._strays[server_id] = strays
        else:
            del self._strays[server_id]
        self.touched.add(server_id)
        return len(strays.keys() - known.keys())

    def _strays_of(
        self, server_id: UUID, listed: Iterable[RunningTask]
    ) -> Iterator[tuple[tuple[UUID, int], tuple[str, ...]]]:
        for running in listed:
            if self.has(server_id, running.task_id, running.attempt):
                continue
            former = self._formerly.get((running.task_id, running.attempt))
            if former is None or former.server_id != server_id:
                yield (running.task_id, running.attempt), running.gpu_uuids
            elif not former.is_over:
                yield (running.task_id, running.attempt), former.gpu_uuids

    # ── reservations ───────────────────────────────────────────────────────────────────────

    def reserve(self, placement: Placement) -> None:
        """Keep a place for a task that was taken out of the queue, until it is assigned."""
        waiting = placement.waiting
        self._reserved[waiting.task_id] = placement
        self._reserved_on[placement.server_id].add(waiting.task_id)
        self.running_by_user[waiting.user_id] += 1
        self.touched.add(placement.server_id)

    def unreserve(self, task_id: UUID) -> Placement | None:
        """Give up a task's place."""
        placement = self._reserved.pop(task_id, None)
        if placement is not None:
            self._reserved_on[placement.server_id].discard(task_id)
            self.touched.add(placement.server_id)
            self._count_down(placement.waiting.user_id)
        return placement

    def wait_again(self, task_id: UUID) -> None:
        """Give up a task's place; it waits as before, if it still does."""
        placement = self.unreserve(task_id)
        if placement is not None and task_id in self.tasks:
            self.queue.add(placement.waiting)

    def wait_again_all(self) -> None:
        """Give up every reservation, as whoever begins to lead does."""
        for task_id in list(self._reserved):
            self.wait_again(task_id)
        self.touched.update(self.servers)

    def _count_down(self, user_id: UUID) -> None:
        self.running_by_user[user_id] -= 1
        if self.running_by_user[user_id] <= 0:
            del self.running_by_user[user_id]

    # ── over restarts ──────────────────────────────────────────────────────────────────────

    def snapshot(self) -> Snapshot:
        """Everything that facts said; what is reserved still waits."""
        reserved = [placement.waiting for placement in self._reserved.values()]
        return Snapshot(
            position=self.position,
            configuration=self.configuration,
            tasks=list(self.tasks.values()),
            waiting=[*self.queue, *reserved],
            attempts=list(self.attempts.values()),
            servers=list(self.servers.values()),
            gpu_failed_at=[(*key, at) for key, at in self.gpu_failed_at.items()],
        )

    def restore(self, kept: Snapshot) -> None:
        """Go on from a snapshot; only an empty board may."""
        assert self.position == 0, "the board has folded facts already"
        self.position = kept.position
        self.configuration = kept.configuration
        self.tasks = {task.task_id: task for task in kept.tasks}
        self.servers = {server.server_id: server for server in kept.servers}
        self.gpu_failed_at = {(server, gpu): at for server, gpu, at in kept.gpu_failed_at}
        for waiting in kept.waiting:
            self.queue.add(waiting)
        for attempt in kept.attempts:
            self.give(attempt)
        self.touched.update(self.servers)
