"""Supervised loops: one team of loops leads while it holds a lease, everybody else stands by.

A loop that fails is started again after a pause that doubles; one that keeps failing makes its
team give up the lease, so that a standby may try. Whoever loses the lease stops at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypeAlias

import structlog
from msgspec import Struct

from commands.outage import Outage, is_outage
from commands.team_lease import TeamLease
from domain.envelope import Fence
from domain.ports import Clock, FencedOff, OutOfReach

LOG = structlog.get_logger(__name__)

RENEWALS: Final = 3
INSIST_AFTER_S: Final = 1.0
Standing: TypeAlias = Literal["starting", "standby", "leading", "stopped"]


class Loop(Protocol):
    """One loop of a team."""

    @property
    def name(self) -> str:
        """What it is called in logs and status."""
        ...

    async def run(self, fence: Fence) -> None:
        """Work until cancelled, committing under ``fence``."""
        ...


class Config(Struct, frozen=True, kw_only=True):
    """The supervisor's pace, in seconds."""

    retry_first_s: float = 0.1
    retry_most_s: float = 5.0
    failures_most: int = 8
    """Failures in a row of one loop until the team gives up its lease."""
    healthy_after_s: float = 30.0
    """A loop that ran for so long starts counting anew."""
    settled_after_s: float = 10.0
    """A loop that ran for so long reaches what it needs: nothing is waited for longer."""
    standby_poll_s: float = 0.5
    """How often a standby asks for the lease."""
    lease_ttl_s: float = 5.0
    """How long the lease was asked for; it is renewed three times in that."""


class LoopStatus(Struct, kw_only=True):
    """One loop as an operator sees it."""

    name: str
    is_running: bool = False
    failures: int = 0
    last_error: str | None = None
    last_error_at: datetime | None = None


class TeamStatus(Struct, kw_only=True):
    """A team as an operator sees it."""

    name: str
    standing: Standing = "starting"
    epoch: int | None = None
    since: datetime | None = None
    loops: list[LoopStatus]


class Supervised:
    """A team of loops under one lease; of loops that everybody runs, without one."""

    def __init__(
        self,
        name: str,
        loops: Sequence[Loop],
        lease: TeamLease | None,
        *,
        clock: Clock,
        config: Config | None = None,
    ) -> None:
        self.name = name
        self.loops = loops
        self._lease = lease
        self._clock = clock
        self._config = Config() if config is None else config
        self._lease_outage = Outage("lease", team=name)
        self._outages = {loop.name: Outage("loop", team=name, loop=loop.name) for loop in loops}
        self.status = TeamStatus(
            name=name, loops=[LoopStatus(name=loop.name) for loop in loops]
        )

    async def run(self) -> None:
        """Stand by, lead, stand by again, until cancelled."""
        try:
            while True:
                await self.step()
        finally:
            self._stand("stopped")
            if self._lease is not None:
                await self._lease.close()

    async def step(self) -> None:
        """Ask for the lease once; lead for as long as it is held."""
        if self._lease is None:
            await self._lead(Fence(self.name, 0), self._lease)
            return
        fence: Fence | None = None
        try:
            fence = await self._lease.acquire()
        except OutOfReach as failure:
            self._lease_outage.goes_on(failure)
        else:
            self._lease_outage.is_over()
        if fence is None:
            self._stand("standby")
            await asyncio.sleep(jittered(self._config.standby_poll_s))
            return
        try:
            await self._lead(fence, self._lease)
        finally:
            self._stand("standby")
            with suppress(OutOfReach):  # an unreleased lease runs out by itself
                await asyncio.shield(self._lease.release(fence))
        # whoever stands by goes first: this team has just failed, or was overtaken
        await asyncio.sleep(jittered(self._config.standby_poll_s * 2))

    async def _lead(self, fence: Fence, lease: TeamLease | None) -> None:
        """Run all loops until one gives up or the lease is lost; returns then."""
        self._stand("leading", fence)
        LOG.info("team.leads", team=self.name, epoch=fence.epoch)
        tasks = [
            asyncio.create_task(self._restart(loop, status, fence), name=loop.name)
            for loop, status in zip(self.loops, self.status.loops, strict=True)
        ]
        if lease is not None:
            renewing = self._renew(lease, fence)
            tasks.append(asyncio.create_task(renewing, name=f"{self.name}.lease"))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(tasks)
            LOG.info("team.stops", team=self.name, epoch=fence.epoch)

    async def _renew(self, lease: TeamLease, fence: Fence) -> None:
        """Return when the lease is no longer ours, or may not be."""
        loop = asyncio.get_running_loop()
        ttl_s = self._config.lease_ttl_s
        renewed_at = loop.time()
        while loop.time() - renewed_at < ttl_s:
            await asyncio.sleep(ttl_s / RENEWALS)
            asked_at = loop.time()
            try:
                if not await lease.renew(fence):
                    LOG.warning("lease.lost", team=self.name, epoch=fence.epoch)
                    return
            except OutOfReach as failure:  # it may be back before time is up
                self._lease_outage.goes_on(failure)
            else:
                self._lease_outage.is_over()
                renewed_at = asked_at

    async def _restart(self, loop: Loop, status: LoopStatus, fence: Fence) -> None:
        """Run one loop again and again; return when it is of no use."""
        clock = asyncio.get_running_loop()
        outage = self._outages[loop.name]
        status.failures = 0
        while status.failures < self._config.failures_most:
            started_at = clock.time()
            status.is_running = True
            settled = clock.call_later(self._config.settled_after_s, outage.is_over)
            try:
                await loop.run(fence)
            except FencedOff:
                LOG.warning("loop.fenced_off", team=self.name, loop=loop.name)
                return
            except Exception as failure:
                status.last_error = repr(failure)
                status.last_error_at = self._clock()
                if is_outage(failure):
                    outage.goes_on(failure)
                else:
                    LOG.exception("loop.failed", team=self.name, loop=loop.name)
            finally:
                settled.cancel()
                status.is_running = False
            if clock.time() - started_at > self._config.healthy_after_s:
                status.failures = 0
            status.failures += 1
            await asyncio.sleep(self._pause_s(status.failures))

    def _pause_s(self, failures: int) -> float:
        first, most = self._config.retry_first_s, self._config.retry_most_s
        return jittered(min(most, first * 2.0 ** (failures - 1)))

    def _stand(self, standing: Standing, fence: Fence | None = None) -> None:
        if standing != self.status.standing:
            self.status.since = self._clock()
        self.status.standing = standing
        self.status.epoch = None if fence is None else fence.epoch


async def end(
    tasks: Iterable[asyncio.Future[Any]], *, insist_after_s: float = INSIST_AFTER_S
) -> None:
    """Cancel until all have ended: a library may swallow one cancellation.

    So does ``asyncio.wait_for`` before CPython 3.12, and psycopg waits with it.
    """
    every, is_cancelled = frozenset(tasks), False
    while left := {task for task in every if not task.done()}:
        for task in left:
            task.cancel()
        try:
            await asyncio.wait(left, timeout=insist_after_s)
        except asyncio.CancelledError:  # whoever waits for us insists too: all still end
            is_cancelled = True
    for task in every:
        if not task.cancelled():
            task.exception()  # looked at: nobody is told that it was not
    if is_cancelled:
        raise asyncio.CancelledError


def jittered(pause_s: float) -> float:
    """Half to all of a pause, so that those who failed together do not come back together."""
    return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
