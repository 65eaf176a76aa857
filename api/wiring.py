"""The composition root: every adapter is built here, and nowhere else.

``open_core`` is what each process of the platform has (log, writer, broker); ``open_platform``
adds what routes stand on, ``open_loops`` what works in the background. ``owl up`` has them all
in one process, on one core.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

from msgspec import Struct

from api.broker import Broker
from api.building_ahead import BuildingAhead
from api.clock import new_id, now
from api.feeding_aside import FeedingAside
from api.keys import Keys
from api.parallel_filling import fill_by
from api.passwords import CHEAP, Passwords
from api.platform import HttpConfig, Platform
from api.reading import open_pool
from api.refreshing import Refreshing
from api.settings import Settings
from api.system_log import SystemLog
from commands import checkpoint_outlets, throttle, topology
from commands.artifact_store import open_store
from commands.event_log.log import EventLog
from commands.event_log.private_texts import PrivateTexts
from commands.event_log.secrets import Secrets
from commands.housekeeping import Housekeeping
from commands.last_signed import LastSigned
from commands.loop import Loop, Supervised
from commands.notary import Notary
from commands.signals import LocalSignal
from commands.signatures import KeysAtHand, SigningKey
from commands.team_lease import TeamLease
from commands.worker import Worker, WorkerConfig, build_loops
from commands.writer import Writer
from domain.envelope import Fence
from domain.ports import Signal
from projections.audit.forgetting import Forgetting
from projections.audit.keeping import Keeper
from projections.audit.snapshots import Snapshots
from projections.catalogue import BUSINESS, TELEMETRY
from projections.position import ReadPosition
from projections.read_model import ReadModel
from projections.runner import Runner

_HOUR_S = 3_600


class Core(Struct, frozen=True, kw_only=True):
    """What each process of the platform has."""

    settings: Settings
    keys: Keys
    database_url: str
    log: EventLog
    writer: Writer
    broker: Broker


@asynccontextmanager
async def open_core(
    settings: Settings, keys: Keys, *, database_url: str, nats_url: str, name: str
) -> AsyncIterator[Core]:
    """Open log, writer and broker on a prepared database.

    Raises:
        OutOfReach: the database does not answer.
        NotDurable: it may lose what it has acknowledged.
    """
    async with AsyncExitStack() as opened:
        opened.enter_context(
            SystemLog(database_url, program=name, level=settings.system_log_level)
        )
        secrets = Secrets(pepper=keys.pepper, sealing_key=keys.sealing)
        log = await asyncio.to_thread(
            EventLog.open,
            database_url,
            secrets=secrets,
            require_durable=settings.requires_durability,
        )
        opened.enter_context(log)
        broker = await opened.enter_async_context(Broker(nats_url, name=name))
        writer = await opened.enter_async_context(Writer(log, now, committed=broker.committed))
        yield Core(
            settings=settings,
            keys=keys,
            database_url=database_url,
            log=log,
            writer=writer,
            broker=broker,
        )


@asynccontextmanager
async def open_platform(core: Core, *, agent_nats_url: str) -> AsyncIterator[Platform]:
    """Open what routes stand on; ``agent_nats_url`` is what an enrolling agent is told."""
    settings, keys = core.settings, core.keys
    async with (
        open_pool(core.database_url, most=settings.database_pool_max) as pool,
        throttle.Throttle(
            core.database_url, core.log.secrets, now, config=throttle_config(settings)
        ) as throttles,
        ReadPosition(pool, core.broker.projected) as position,
    ):
        yield Platform(
            writer=core.writer,
            pool=pool,
            position=position,
            clock=now,
            ids=new_id,
            secrets=core.log.secrets,
            config=HttpConfig(
                token_keys=keys.signing,
                request_key=hmac.digest(keys.pepper, b"requests", hashlib.sha256),
                agent_nats_urls=tuple(agent_nats_url.split(",")),
                password_min_length=settings.shortest_password,
                fetch_networks=settings.networks_to_fetch_from,
            ),
            artifacts=open_store(settings.artifacts),
            passwords=Passwords(CHEAP if settings.profile == "test" else None),
            throttle=throttles,
            committed=core.broker.committed,
            notary_keys=KeysAtHand(lambda: [SigningKey(seed) for seed in keys.audit_seeds()]),
            writer_counts=core.writer.counts,
            broker_connected=core.broker.is_connected,
            texts=PrivateTexts(core.log.secrets),
            snapshots=Snapshots(keys.snapshots),
        )


def throttle_config(settings: Settings) -> throttle.Config:
    """The limits, as far as an operator sets them."""
    return throttle.Config(
        register_address=throttle.Limit(settings.registrations_of_one, _HOUR_S),
        register_all=throttle.Limit(settings.registrations_in_all, _HOUR_S),
    )


def open_loops(core: Core) -> list[Supervised]:
    """What works in the background; each has ``run``, which goes on until cancelled."""
    broker, holder = core.broker, holder_name()
    appended = LocalSignal()
    worker = Worker(
        log=core.log,
        writer=core.writer,
        client=broker.client,
        artifacts=open_store(core.settings.artifacts),
        committed=broker.committed,
        appended=appended,
        clock=now,
        ids=new_id,
        holder=holder,
        issuer_seed=core.keys.issuer_seed,
        config=WorkerConfig(topology=topology.Config(replicas=core.settings.nats_replicas)),
    )
    projections = [
        Projecting("business", core, broker.committed, BUSINESS, broker.projected),
        Projecting("telemetry", core, appended, TELEMETRY, None),
    ]
    notary = Notary(
        core.database_url,
        lambda: [SigningKey(seed) for seed in core.keys.audit_seeds()],
        clock=now,
        committed=broker.committed,
        remembered=LastSigned(core.settings.notary_path),
    )
    signing: list[Loop] = [
        notary,
        checkpoint_outlets.to_stream(core.database_url, broker.client),
    ]
    if core.settings.checkpoints_url:
        url = core.settings.checkpoints_url
        signing.append(checkpoint_outlets.to_files(core.database_url, url))
    housekeeping: list[Loop] = [
        Refreshing(
            core.log,
            core.writer,
            new_id,
            filling=lambda workers: fill_by(
                core.database_url, core.settings.secrets_path, workers
            ),
        ),
        Housekeeping(core.database_url, core.writer, new_id, clock=now),
        Keeper(core.database_url, Snapshots(core.keys.snapshots)),
        Forgetting(core.database_url),
    ]

    beside: list[Loop] = [
        BuildingAhead(core.log, core.writer, new_id, holder),
        FeedingAside(core.log, holder),
    ]

    def team(name: str, loops: Sequence[Loop]) -> Supervised:
        return Supervised(name, loops, TeamLease(core.database_url, name, holder), clock=now)

    return [
        team("projections", projections),
        team("notary", signing),
        team("housekeeping", housekeeping),
        Supervised("beside another version", beside, None, clock=now),
        *build_loops(worker),
    ]


def holder_name() -> str:
    """Who holds a lease: readable, and no other's even in containers that look alike."""
    return f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"


class Projecting:
    """A runner of read models as a loop that is supervised under a lease."""

    def __init__(
        self,
        name: str,
        core: Core,
        wake: Signal,
        read_models: Sequence[ReadModel],
        projected: Signal | None,
    ) -> None:
        self.name = name
        self._wake = wake
        feed = core.log.feed() if projected else core.log.telemetry.feed()
        self._runner = Runner(feed, core.database_url, read_models, projected=projected)

    async def run(self, _fence: Fence) -> None:
        """Project until cancelled; a checkpoint's compare-and-set is fence enough."""
        await self._runner.run(self._wake)


def without_credentials(nats_url: str) -> str:
    """The broker's address as agents may know it."""
    return ",".join(
        f"{part.scheme}://{part.hostname}:{part.port or 4222}"
        for part in map(urlsplit, nats_url.split(","))
    )
