"""The scheduler: gives waiting tasks to servers. Its decisions are facts, fenced by its lease.

It wakes when the board has moved, decides on memory alone, and assigns many tasks at once; the
writer commits them together. What it has decided but not seen committed is reserved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from uuid import UUID

import structlog
from msgspec import Struct

from commands.board_reader import BoardReader
from commands.contexts import of_policy
from commands.dispatching import AssignTask, assign_task
from commands.hearing import Hearing
from domain.envelope import Fence
from domain.errors import Refused
from domain.ports import Clock, CommandWriter, FencedOff, OutOfReach
from domain.scheduling.placement import Placement, Room, place
from domain.scheduling.queue import Aging

LOG = structlog.get_logger(__name__)


class Config(Struct, frozen=True, kw_only=True):
    """Bounds and pace."""

    in_flight_max: int = 512
    look_every_s: float = 1.0
    """How often it looks without having been woken: waiting makes tasks more urgent."""
    retry_after_s: float = 0.05


class Scheduler:
    """One decision round after another."""

    name = "scheduler"

    def __init__(
        self,
        reader: BoardReader,
        hearing: Hearing,
        writer: CommandWriter,
        *,
        clock: Clock,
        reaches_agents: Callable[[], bool],
        config: Config | None = None,
    ) -> None:
        self._reader = reader
        self._board = reader.board
        self._hearing = hearing
        self._writer = writer
        self._clock = clock
        self._reaches_agents = reaches_agents
        self._config = Config() if config is None else config
        self._rooms: dict[UUID, Room] = {}
        self._flying: set[asyncio.Task[None]] = set()
        self._fenced_off: FencedOff | None = None

    async def run(self, fence: Fence) -> None:
        """Decide until cancelled.

        Raises:
            FencedOff: somebody else leads.
        """
        await self._reader.catch_up()
        self._rooms.clear()
        self._fenced_off = None
        self._board.wait_again_all()
        try:
            while self._fenced_off is None:
                seen = self._board.position
                if not self.step(fence):
                    await self._reader.folded.wait(seen, self._config.look_every_s)
                else:
                    await asyncio.sleep(0)
            raise self._fenced_off
        finally:
            for flight in self._flying:
                flight.cancel()
            self._flying.clear()

    def step(self, fence: Fence) -> int:
        """Place what can be placed now; the number of tasks."""
        most = self._config.in_flight_max - len(self._flying)
        if most <= 0 or not self._board.queue or not self._reaches_agents():
            return 0
        now = self._clock()
        configuration = self._board.configuration
        placements = place(
            self._board.queue,
            self._open_rooms(now),
            now=now,
            aging=Aging(configuration.aging_minutes_per_step, configuration.aging_steps_max),
            running_by_user=self._board.running_by_user,
            most=most,
        )
        for placement in placements:
            self._board.reserve(placement)
            flight = asyncio.create_task(self._assign(placement, fence, now))
            self._flying.add(flight)
            flight.add_done_callback(self._flying.discard)
        return len(placements)

    def _open_rooms(self, now: datetime) -> Iterator[Room]:
        """The servers that have room and were heard lately."""
        for server_id in self._board.touched:
            room = self._board.room_of(server_id)
            if room is not None and room.free:
                self._rooms[server_id] = room
            else:
                self._rooms.pop(server_id, None)
        self._board.touched.clear()
        limit_s = self._board.configuration.suspect_after_s
        for server_id, room in self._rooms.items():
            if self._hearing.takes_work(server_id, now, limit_s):
                yield room

    async def _assign(self, placement: Placement, fence: Fence, now: datetime) -> None:
        """Commit one decision. The reservation ends when the board has folded the fact."""
        waiting = placement.waiting
        command = AssignTask(
            task_id=waiting.task_id,
            attempt=waiting.attempt,
            server_id=placement.server_id,
            gpu_uuids=placement.gpu_uuids,
            why=placement.why,
            at=now,
        )
        context = of_policy(
            self.name,
            f"assign/{waiting.task_id}/{waiting.attempt}",
            correlation_id=waiting.correlation_id,
            causation_id=waiting.order,
            fence=fence,
        )
        try:
            committed = await self._writer.run(assign_task, command, context)
            if committed.result.done:
                return
        except FencedOff as failure:
            self._fenced_off = failure
        except (OutOfReach, Refused) as failure:
            LOG.warning("task.not_assigned", task_id=str(waiting.task_id), why=repr(failure))
        except Exception:  # a defect that one task meets must not stop the others
            LOG.exception("task.assignment_failed", task_id=str(waiting.task_id))
            await asyncio.sleep(self._config.look_every_s)
        await asyncio.sleep(self._config.retry_after_s)
        self._board.wait_again(waiting.task_id)
