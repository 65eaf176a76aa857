"""The loops of one worker process, put together.

``board`` and ``admission`` run in every worker. ``relay`` and ``dispatch`` are led by one
worker each; dispatch is one team since its loops share what they heard and what they know.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

from msgspec import Struct
from nats.aio.client import Client
from nats.js.api import ConsumerConfig

from commands import topology
from commands.admission import Admission
from commands.agent_log import AgentLog
from commands.artifact_intake import ArtifactIntake
from commands.artifact_store import ArtifactStore
from commands.board import Board
from commands.board_reader import BoardReader
from commands.checkpoints import Checkpoints
from commands.event_log.log import EventLog
from commands.hearing import Hearing
from commands.ingest_tasks import PREFIX as TASKS
from commands.ingest_tasks import TaskIngest, tasks_consumer
from commands.ingest_telemetry import PREFIX as TELEMETRY
from commands.ingest_telemetry import TelemetryIngest, telemetry_consumer
from commands.leases import Leases
from commands.loop import Config, Loop, Supervised
from commands.metering import Metering
from commands.offers import Offers
from commands.presence import Presence
from commands.receipts import Receipts
from commands.relay import Relay
from commands.reports import consumer_name
from commands.scheduler import Scheduler
from commands.team_lease import TeamLease
from commands.topology import Topology
from domain.ports import Clock, CommandWriter, Ids, Signal


class WorkerConfig(Struct, frozen=True, kw_only=True):
    """What an operator may set about the loops."""

    topology: topology.Config = topology.Config()
    supervision: Config = Config()


class Worker(Struct, frozen=True, kw_only=True):
    """What the loops stand on. ``holder`` is unique to the process.

    ``appended`` is notified of the telemetry log, ``committed`` of the business log.
    """

    log: EventLog
    writer: CommandWriter
    client: Client
    artifacts: ArtifactStore
    committed: Signal
    appended: Signal
    clock: Clock
    ids: Ids
    holder: str
    issuer_seed: bytes
    config: WorkerConfig = WorkerConfig()


def build_loops(worker: Worker) -> list[Supervised]:
    """Everything that a worker runs beside the projections; each has ``run`` and ``status``."""
    checkpoints = Checkpoints(worker.log.conninfo)
    reader = BoardReader(Board(), worker.log.feed(), worker.committed, checkpoints)
    admission = Admission(worker.client, worker.issuer_seed, key_on(reader), clock=worker.clock)
    relay = Relay(worker.log, worker.client, worker.committed, checkpoints)
    supervision = worker.config.supervision

    def lease(name: str) -> TeamLease:
        ttl_s = supervision.lease_ttl_s
        return TeamLease(worker.log.conninfo, name, worker.holder, ttl_s=ttl_s)

    return [
        Supervised(
            "everywhere", [reader, admission], None, clock=worker.clock, config=supervision
        ),
        Supervised("relay", [relay], lease("relay"), clock=worker.clock, config=supervision),
        Supervised(
            "dispatch",
            _dispatch(worker, reader),
            lease("dispatch"),
            clock=worker.clock,
            config=supervision,
        ),
    ]


def _dispatch(worker: Worker, reader: BoardReader) -> list[Loop]:
    client, writer, clock = worker.client, worker.writer, worker.clock
    telemetry = worker.log.telemetry
    hearing = Hearing()
    receipts = Receipts(client, lambda: reader.board.configuration)
    offers = Offers(reader, client)
    presence = Presence(reader.board, writer, offers.stop_stray)

    def reaches_agents() -> bool:
        return client.is_connected

    def next_sequence() -> int:
        return telemetry.tracked() + 1

    def first_consumers() -> list[ConsumerConfig]:
        return [
            telemetry_consumer(consumer_name(TELEMETRY, 0, 0), 1, 1),
            tasks_consumer(consumer_name(TASKS, 0, 0), 1),
        ]

    return [
        Topology(
            client,
            servers=reader.board.enrolled,
            first_report_sequence=next_sequence,
            interested=first_consumers,
            config=worker.config.topology,
        ),
        TelemetryIngest(
            client,
            telemetry,
            reader,
            hearing,
            presence,
            receipts,
            clock=clock,
            appended=worker.appended,
        ),
        TaskIngest(
            client,
            reader,
            writer,
            ArtifactIntake(client, worker.artifacts),
            receipts,
            clock=clock,
        ),
        Scheduler(reader, hearing, writer, clock=clock, reaches_agents=reaches_agents),
        offers,
        Leases(reader, hearing, writer, clock=clock, reaches_agents=reaches_agents),
        Metering(reader, writer, clock=clock, ids=worker.ids),
        AgentLog(client, reader.board),
    ]


def key_on(reader: BoardReader) -> Callable[[UUID], Awaitable[str | None]]:
    """The public key of a server that may sign in, as the board knows it."""

    async def public_key_of(server_id: UUID) -> str | None:
        server = reader.board.servers.get(server_id)
        if server is None or server.public_key is None:  # enrolled a moment ago, perhaps
            await reader.catch_up()
            server = reader.board.servers.get(server_id)
        return None if server is None or server.removed else server.public_key

    return public_key_of
