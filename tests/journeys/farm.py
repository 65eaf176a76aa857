"""A server of the farm as the platform sees one: it enrols over HTTP and then reports.

Reports take the way that the platform's loops take after the broker: the same commands through
the same writer, the same append to the telemetry log.
"""

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import nkeys
from msgspec import Struct

from commands.dispatching import AssignTask, assign_task
from commands.event_log.log import EventLog
from commands.event_log.telemetry import TelemetryEntry
from commands.fleet import NoteServerSeen, note_server_seen
from commands.task_reports import (
    RecordAdvanced,
    RecordBegan,
    RecordEnded,
    record_advanced,
    record_began,
    record_ended,
)
from domain.envelope import Actor, Context
from domain.fleet.messages import GpuSample, Heartbeat, HostSample, OutputLine, RunningTask
from domain.ports import UnitOfWork
from domain.telemetry.events import HeartbeatReceived, TaskOutputReceived
from tests.api.live import LiveApi, Person, ok
from tests.api.opened import SECRETS, new_id, now

C = TypeVar("C", bound=Struct)

GPU = "GPU-0"
_sequences = itertools.count(1)


def public_key() -> str:
    """A fresh nkey's public half."""
    seed = nkeys.encode_seed(new_id().bytes * 2, nkeys.PREFIX_BYTE_USER)
    key: bytes = nkeys.from_seed(seed).public_key
    return key.decode()


class Server:
    """One enrolled server with one GPU of 12 GiB."""

    def __init__(self, api: LiveApi, admin: Person, *, name: str = "GPU-Server-01") -> None:
        self.api = api
        room = {"name": name, "max_concurrent_tasks": 4}
        registered = ok(admin.client.post("/api/gpu/servers", json=room))
        self.token = registered["enrolment_token"]
        self.key = public_key()
        self.server_id = UUID(registered["id"])
        self.boot_id = new_id()
        self._beats = itertools.count(1)

    def enrol(self) -> Any:
        """Show the token and leave the key."""
        body = {"token": self.token, "public_key": self.key, "hostname": "gpu-01.lan"}
        with self.api.client() as agent:
            return ok(agent.post("/api/gpu/servers/enroll", json=body))

    def beat(self, *running: RunningTask, usage: float = 85.5, has_gpu: bool = True) -> None:
        """One heartbeat: its figures into the telemetry log, what it changes into the other."""
        gpu = GpuSample(
            index=0,
            uuid=GPU,
            name="H200",
            usage_percent=usage,
            memory_used_mib=10_445,
            memory_total_mib=12_288,
        )
        heartbeat = Heartbeat(
            report_id=new_id(),
            server_id=self.server_id,
            boot_id=self.boot_id,
            sequence=next(self._beats),
            sent_at=now(),
            agent_version="0.10.0",
            hostname="gpu-01.lan",
            host=HostSample(cpu_percent=45.23, memory_percent=68.3, cpu_count=8),
            gpus=(gpu,) if has_gpu else (),
            running=running,
            serves_files=True,
        )
        self.telemetry(
            self.server_id,
            HeartbeatReceived(
                server_id=self.server_id,
                boot_id=self.boot_id,
                sequence=heartbeat.sequence,
                sent_at=heartbeat.sent_at,
                host=heartbeat.host,
                gpus=heartbeat.gpus,
                running=heartbeat.running,
            ),
        )
        self.run(note_server_seen, NoteServerSeen(heartbeat=heartbeat, at=now()))

    def take(self, task_id: UUID, *, attempt: int = 1) -> None:
        """Be given an attempt, and begin it."""
        command = AssignTask(
            task_id=task_id,
            attempt=attempt,
            server_id=self.server_id,
            gpu_uuids=(GPU,),
            at=now(),
        )
        self.run(assign_task, command)
        self.run(
            record_began,
            RecordBegan(task_id=task_id, attempt=attempt, server_id=self.server_id, at=now()),
        )

    def advance(self, task_id: UUID, progress: float, *, attempt: int = 1) -> None:
        """Say how far the attempt is."""
        command = RecordAdvanced(
            task_id=task_id,
            attempt=attempt,
            server_id=self.server_id,
            progress=progress,
            note="",
            at=now(),
        )
        self.run(record_advanced, command)

    def end(
        self, task_id: UUID, outcome: str, *, attempt: int = 1, run_ms: int = 0, **more: Any
    ) -> None:
        """Report the end of an attempt; by the platform's clock, too, it has run so long."""
        ending = RecordEnded(
            task_id=task_id,
            attempt=attempt,
            server_id=self.server_id,
            outcome=outcome,  # type: ignore[arg-type]  # a test writes it out
            run_ms=run_ms,
            at=more.pop("at", now() + timedelta(milliseconds=run_ms)),
            **more,
        )
        self.run(record_ended, ending)

    def write(self, task_id: UUID, *lines: str) -> None:
        """Send a chunk of the task's output."""
        self.telemetry(
            task_id,
            TaskOutputReceived(
                task_id=task_id,
                attempt=1,
                sequence=1,
                server_id=self.server_id,
                lines=tuple(OutputLine(at=now(), level="INFO", text=line) for line in lines),
            ),
        )

    def telemetry(self, stream: UUID, fact: Any) -> None:
        """Append to the telemetry log, as ingest does."""
        number = next(_sequences)
        entry = TelemetryEntry(
            stream=stream,
            fact=fact,
            recorded_at=now(),
            actor=Actor("agent", str(self.server_id)),
            command_id=new_id(),
            correlation_id="test",
            stream_sequence=number,
        )
        with EventLog.open(
            self.api.database_url, secrets=SECRETS, require_durable=False
        ) as log:
            log.telemetry.append([entry], stream_sequence=number)

    def run(self, handler: Callable[[C, UnitOfWork], Any], command: C) -> Any:
        """Commit a report and wait until it can be read."""
        context = Context(
            command_id=new_id(),
            actor=Actor("agent", str(self.server_id)),
            correlation_id="test",
        )

        async def committed() -> Any:
            platform = self.api.platform
            done = await platform.writer.run(handler, command, context)
            await platform.position.wait(done.position, 5)
            return done.result

        return self.api.call(committed())
