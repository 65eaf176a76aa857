"""The agent: one life of it, from the connection to the last confirmed report.

`Agent.run` wires the parts and keeps their loops going; `Agent.stop` ends it in order: no new
work, running tasks get their time, the rest is handed back, the spool is emptied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct
from nats.aio.msg import Msg

from domain.fleet.messages import RECEIPT_DECODER, receipts_subject
from gpu_agent import outbox as outboxes
from gpu_agent import work_feed as feeds
from gpu_agent.broker import Broker
from gpu_agent.children import Children
from gpu_agent.children import Config as ChildrenConfig
from gpu_agent.deliveries import Deliveries
from gpu_agent.enrolment import Identity
from gpu_agent.fetch import Fetcher
from gpu_agent.heartbeats import Heartbeats, Who
from gpu_agent.lease import Lease
from gpu_agent.log_tail import LogTail
from gpu_agent.media import MediaSource
from gpu_agent.outbox import Outbox
from gpu_agent.sandbox import find_bubblewrap
from gpu_agent.settings import Settings
from gpu_agent.spool import open_spool
from gpu_agent.telemetry.host import HostSampler
from gpu_agent.telemetry.readings import GpuSampler
from gpu_agent.work_feed import WorkFeed
from gpu_agent.workload import Here, Workload

LEASE_CHECK_S: Final = 0.5
LAST_RECEIPTS_S: Final = 5.0
"""How long a stopping agent waits for what it said to be confirmed; the rest stays spooled."""
INSIST_AFTER_S: Final = 1.0
_LOG = structlog.get_logger(__name__)


class World(Struct, frozen=True, kw_only=True):
    """Time, chance and devices, handed in."""

    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    ids: Callable[[], UUID]
    gpus: GpuSampler


class Agent:
    """One life of an agent; make it, `run` it once."""

    def __init__(
        self,
        identity: Identity,
        settings: Settings,
        world: World,
        *,
        version: str,
        tail: LogTail | None = None,
    ) -> None:
        """``tail`` holds what this process logs and the platform should know."""
        self._identity = identity
        self._settings = settings
        self._world = world
        self._version = version
        self._tail = LogTail() if tail is None else tail
        for secret in (identity.seed, *_passwords(settings.nats_urls or identity.nats_urls)):
            self._tail.hide(secret)
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()

    def stop(self) -> None:
        """End in order; called again, end the running tasks at once."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def run(self) -> None:
        """Live until `stop`. Must run in the main thread (see `Children.start`)."""
        settings, identity = self._settings, self._identity
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        children = Children(_children_config(settings))
        spool = await asyncio.to_thread(open_spool, settings.state / "spool.sqlite")
        try:
            await children.start()
            _LOG.info(
                "agent_ready",
                server=identity.name,
                task_types=children.hello.task_types,
                refused=children.hello.refused,
                sandbox=children.sandbox,
            )
            broker = self._broker()
            outbox = Outbox(
                server_id=identity.server_id,
                spool=spool,
                publish=broker.publish,
                monotonic=self._world.monotonic,
                config=outboxes.Config(),
            )
            workload = Workload(self._here(children, outbox, broker))
            workload.give_up_interrupted(spool.interrupted)
            await self._live(broker, outbox, workload)
        finally:
            await children.close()
            await asyncio.to_thread(spool.close)
            self._world.gpus.close()

    async def _live(self, broker: Broker, outbox: Outbox, workload: Workload) -> None:
        lease = self._lease()
        heartbeats = self._heartbeats(broker, lease, workload)
        workload.changed = heartbeats.hurry
        broker.when_connected(outbox.repeat_all)

        async def hear(message: Msg) -> None:
            try:
                receipt = RECEIPT_DECODER.decode(message.data)
            except msgspec.MsgspecError as error:
                _LOG.error("receipt_not_understood", error=str(error))
                return
            outbox.hear(receipt)
            heartbeats.hear(receipt)

        broker.subscribe(receipts_subject(self._identity.server_id), hear)
        feed = WorkFeed(
            broker,
            server_id=self._identity.server_id,
            take=workload.take,
            # a lapsed lease is renewed first: what began under it would be ended at once
            ready=lambda: not lease.expired(now=self._world.monotonic()),
            config=feeds.Config(),
        )
        loops = [
            asyncio.create_task(loop, name=name)
            for name, loop in (
                ("broker", broker.run()),
                ("outbox", outbox.run()),
                ("heartbeats", heartbeats.run()),
                ("work", feed.run()),
                ("lease", self._keep_lease(lease, workload)),
                ("log", self._tell_log(broker)),
            )
        ]
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            # a loop that ends has broken: the agent ends with it, loudly
            await asyncio.wait([*loops, stopping], return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                await self._wind_down(heartbeats, workload, outbox)
        finally:
            await _cancel([stopping, *reversed(loops)])

    async def _wind_down(
        self, heartbeats: Heartbeats, workload: Workload, outbox: Outbox
    ) -> None:
        workload.closed = heartbeats.draining = True
        heartbeats.hurry()
        _LOG.info("agent_stopping", running=len(workload.running()))
        finished = asyncio.create_task(workload.finished())
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait(
            [finished, hurry],
            timeout=self._settings.shutdown_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        hurry.cancel()
        workload.stop_all("agent_stopping")
        await finished
        heartbeats.leaving = True
        await heartbeats.step()  # the last: the platform need not wait for silence
        with suppress(TimeoutError):
            await asyncio.wait_for(outbox.emptied(), LAST_RECEIPTS_S)

    async def _keep_lease(self, lease: Lease, workload: Workload) -> None:
        """End all work once the agent cannot tell any more whether it is heard."""
        while True:
            await asyncio.sleep(LEASE_CHECK_S)
            if lease.expired(now=self._world.monotonic()) and workload.running():
                _LOG.error("lease_lost", running=len(workload.running()))
                workload.stop_all("lease_lost")

    async def _tell_log(self, broker: Broker) -> None:
        await self._tail.run(
            broker.publish,
            server_id=self._identity.server_id,
            clock=self._world.clock,
            ids=self._world.ids,
        )

    def _broker(self) -> Broker:
        identity, clock = self._identity, self._world.clock
        urls = self._settings.nats_urls or identity.nats_urls
        named = any("@" in url for url in urls)
        return Broker(
            urls,
            server_id=identity.server_id,
            token=None if named else lambda: identity.token(clock().timestamp()),
        )

    def _here(self, children: Children, outbox: Outbox, broker: Broker) -> Here:
        settings = self._settings
        return Here(
            server_id=self._identity.server_id,
            children=children,
            media=MediaSource(Fetcher(settings.fetch_policy()), settings.media),
            outbox=outbox,
            deliveries=Deliveries(broker, self._identity.server_id),
            limits=settings.limits(),
            most_tasks=settings.most_tasks,
            clock=self._world.clock,
            monotonic=self._world.monotonic,
            ids=self._world.ids,
        )

    def _lease(self) -> Lease:
        return Lease(
            now=self._world.monotonic(),
            grace_s=self._settings.grace_s,
            lease_s=self._settings.lease_s,
        )

    def _heartbeats(self, broker: Broker, lease: Lease, workload: Workload) -> Heartbeats:
        who = Who(
            server_id=self._identity.server_id,
            boot_id=self._world.ids(),
            agent_version=self._version,
        )
        return Heartbeats(
            who,
            broker=broker,
            lease=lease,
            gpus=self._world.gpus,
            host=HostSampler(self._settings.state),
            running=workload.running,
            clock=self._world.clock,
            monotonic=self._world.monotonic,
            ids=self._world.ids,
            interval_s=self._settings.heartbeat_s,
            serves_files=bool(self._settings.media),
        )


def _children_config(settings: Settings) -> ChildrenConfig:
    return ChildrenConfig(
        workspaces=settings.state / "work",
        bwrap=find_bubblewrap() if settings.sandbox else None,
        readable=settings.media,
        standby=settings.standby,
        memory_mib=settings.memory_mib,
    )


def _passwords(nats_urls: Sequence[str]) -> list[str]:
    """What addresses of brokers hold in front of the @."""
    named = [urlsplit(url) for url in nats_urls if "@" in url]
    return [part for url in named for part in (url.password, url.username) if part]


async def _cancel(tasks: list[asyncio.Task[bool] | asyncio.Task[None]]) -> None:
    """Cancel in order, each to its end; a loop that broke is raised again."""
    for task in tasks:
        while not task.done():  # a library may swallow one cancellation
            task.cancel()
            await asyncio.wait({task}, timeout=INSIST_AFTER_S)
        if not task.cancelled():
            task.result()
