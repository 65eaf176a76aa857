"""A farm without a broker: what scheduler, ingest and agents do, through the same commands."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from msgspec import Struct

from commands.dispatching import Applied, AssignTask, assign_task
from commands.event_log.log import EventLog
from commands.event_log.telemetry import TelemetryEntry
from commands.fleet import (
    EnrolServer,
    NoteServerSeen,
    RegisterServer,
    enrol_server,
    note_server_seen,
    register_server,
)
from commands.task_reports import (
    RecordAdvanced,
    RecordBegan,
    RecordEnded,
    record_advanced,
    record_began,
    record_ended,
)
from domain.envelope import Actor, Context
from domain.facts import Fact
from domain.fleet.messages import GpuSample, Heartbeat, HostSample, OutputLine, RunningTask
from domain.ports import UnitOfWork
from domain.tasks.events import Artifact
from domain.telemetry.events import HeartbeatReceived, TaskOutputReceived
from tests.api.live import LiveApi
from tests.api.opened import SECRETS, new_id, now

C = TypeVar("C", bound=Struct)
R = TypeVar("R")

GPUS = tuple(f"GPU-{number}" for number in range(2))
PUBLIC_KEY = "U" + "A" * 55


class PlayedFarm:
    """One server with two GPUs, played by a test."""

    def __init__(self, api: LiveApi, name: str = "GPU-Server-01") -> None:
        self._api = api
        self._beats = 0
        self._boot_id = new_id()
        self.server_id = new_id()
        self.run(
            register_server,
            RegisterServer(
                server_id=self.server_id,
                name=name,
                max_concurrent_tasks=4,
                token_digest="digest",
                token_expires_at=now() + timedelta(hours=1),
            ),
        )
        self.run(
            enrol_server,
            EnrolServer(
                server_id=self.server_id,
                token_digest="digest",
                public_key=PUBLIC_KEY,
                host="192.168.1.100",
                at=now(),
            ),
        )

    def beat(self, *running: RunningTask) -> None:
        """Be alive: the figures of this moment, with the tasks that run."""
        self._beats += 1
        heartbeat = Heartbeat(
            report_id=new_id(),
            server_id=self.server_id,
            boot_id=self._boot_id,
            sequence=self._beats,
            sent_at=now(),
            agent_version="0.10.0",
            hostname="gpu-server-01",
            host=HostSample(cpu_percent=45.2, memory_percent=68.3, memory_total_mib=65536),
            gpus=tuple(
                GpuSample(
                    index=index,
                    uuid=uuid,
                    name="NVIDIA H200",
                    usage_percent=85.5,
                    memory_used_mib=10445,
                    memory_total_mib=12288,
                    temperature_c=61.0,
                    power_w=430.0,
                )
                for index, uuid in enumerate(GPUS)
            ),
            running=running,
            serves_files=True,
        )
        self.run(note_server_seen, NoteServerSeen(heartbeat=heartbeat, at=now()))
        self._tell(
            self.server_id,
            HeartbeatReceived(
                server_id=self.server_id,
                boot_id=heartbeat.boot_id,
                sequence=heartbeat.sequence,
                sent_at=heartbeat.sent_at,
                host=heartbeat.host,
                gpus=heartbeat.gpus,
                running=running,
            ),
        )

    def assign(self, task_id: UUID, attempt: int = 1, *, ago_s: float = 0) -> None:
        """Take a waiting task, or have taken it a while ago: no run may claim to be longer."""
        command = AssignTask(
            task_id=task_id,
            attempt=attempt,
            server_id=self.server_id,
            gpu_uuids=GPUS[:1],
            at=now() - timedelta(seconds=ago_s),
        )
        assert self.run(assign_task, command) == Applied(done=True)

    def begin(self, task_id: UUID, attempt: int = 1, *, ago_s: float = 0) -> None:
        """Start it, or have started it a while ago."""
        at = now() - timedelta(seconds=ago_s)
        command = RecordBegan(task_id=task_id, attempt=attempt, server_id=self.server_id, at=at)
        self.run(record_began, command)

    def advance(self, task_id: UUID, progress: float, attempt: int = 1) -> None:
        """Be so far, 0 to 100."""
        command = RecordAdvanced(
            task_id=task_id,
            attempt=attempt,
            server_id=self.server_id,
            progress=progress,
            note="measuring frames",
            at=now(),
        )
        self.run(record_advanced, command)

    def write(self, task_id: UUID, *texts: str, attempt: int = 1) -> None:
        """Let the task write lines."""
        lines = tuple(OutputLine(at=now(), level="INFO", text=text) for text in texts)
        self._tell(
            task_id,
            TaskOutputReceived(
                task_id=task_id,
                attempt=attempt,
                sequence=self._beats,
                server_id=self.server_id,
                lines=lines,
            ),
        )

    def complete(
        self,
        task_id: UUID,
        *,
        run_ms: int = 2_000,
        result: dict[str, Any] | None = None,
        files: dict[str, bytes] | None = None,
        attempt: int = 1,
    ) -> None:
        """End it well, its files in the artifact store."""
        artifacts = tuple(
            Artifact(
                name=name,
                size_bytes=len(content),
                sha256=self._api.files.put(content),
                media_type="image/jpeg",
            )
            for name, content in (files or {}).items()
        )
        command = RecordEnded(
            task_id=task_id,
            attempt=attempt,
            server_id=self.server_id,
            outcome="completed",
            run_ms=run_ms,
            result=result or {},
            artifacts=artifacts,
            at=now(),
        )
        self.run(record_ended, command)

    def fail(self, task_id: UUID, error_message: str, attempt: int = 1) -> None:
        """End it badly, by the user's own fault."""
        command = RecordEnded(
            task_id=task_id,
            attempt=attempt,
            server_id=self.server_id,
            outcome="failed",
            run_ms=500,
            reason="user_error",
            error_message=error_message,
            at=now(),
        )
        self.run(record_ended, command)

    def start(self, task_id: UUID, progress: float = 45.5, *, ago_s: float = 0) -> None:
        """All of it up to ``progress``."""
        self.assign(task_id, ago_s=ago_s)
        self.begin(task_id, ago_s=ago_s)
        self.advance(task_id, progress)
        self.beat(RunningTask(task_id=task_id, attempt=1, progress=progress))

    def run(self, handler: Callable[[C, UnitOfWork], R], command: C) -> object:
        """Commit a command and wait until it can be read; returns its receipt."""
        platform = self._api.platform
        context = Context(
            command_id=new_id(),
            actor=Actor("agent", str(self.server_id)),
            correlation_id=f"test-{new_id()}",
        )
        committed = self._api.call(platform.writer.run(handler, command, context))
        if committed.position:
            assert self._api.call(platform.position.wait(committed.position, 10))
        return committed.result

    def _tell(self, stream: UUID, fact: Fact) -> None:
        with EventLog.open(
            self._api.database_url, secrets=SECRETS, require_durable=False
        ) as log:
            telemetry = log.telemetry
            sequence = telemetry.tracked() + 1
            entry = TelemetryEntry(
                stream=stream,
                fact=fact,
                recorded_at=now(),
                actor=Actor("agent", str(self.server_id)),
                command_id=new_id(),
                correlation_id=f"test-{new_id()}",
                stream_sequence=sequence,
            )
            telemetry.append([entry], stream_sequence=sequence)
