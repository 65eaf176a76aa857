"""A platform in memory: what the real handlers commit is what happened."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from msgspec import Struct

from commands import accounts, dispatching, fleet, recharge, task_reports, tasks
from domain.envelope import Recorded
from domain.errors import Refused
from domain.facts import Fact
from domain.fleet.messages import (
    GpuSample,
    Heartbeat,
    HostSample,
)
from domain.ids import uuid7
from domain.tasks.submission import TaskOrder
from domain.tasks.task import TASK
from tests.memory import MemoryLog
from tests.projections.feed import NOON, recorded


class Farm:
    """A platform in memory, driven by commands; ``events`` is what happened so far."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.log = MemoryLog()
        self.events: list[Recorded[Any]] = []
        self.now = NOON
        self.actor = "system:test"
        self.users: list[UUID] = []
        self.codes: list[UUID] = []
        self.servers: list[UUID] = []
        self.tasks: list[UUID] = []

    def fresh(self) -> UUID:
        milliseconds = round(self.now.timestamp() * 1000)
        return uuid7(milliseconds, self.random.randbytes(10))

    def run(self, handler: Callable[[Any, Any], Any], command: Struct) -> None:
        """A command and a second; a refusal leaves no trace."""
        before = len(self.log.story)
        with suppress(Refused):
            self.log.run(handler, command)
        for stream, fact in self.log.story[before:]:
            self.events.append(self._recorded(fact, stream))
        self.now += timedelta(seconds=1)

    def say(self, stream: UUID, *facts: Fact) -> None:
        """Facts for which there is no command yet."""
        self.log.given(stream, *facts)
        for fact in facts:
            self.events.append(self._recorded(fact, stream))

    def _recorded(self, fact: Fact, stream: UUID) -> Recorded[Any]:
        return recorded(fact, stream, len(self.events) + 1, self.now, self.actor)

    def register(self) -> UUID:
        user = self.fresh()
        self.users.append(user)
        self.run(
            accounts.register_user,
            accounts.RegisterUser(
                user_id=user,
                email=f"{user.hex}@example.com",
                username=user.hex[-12:],
                full_name="猫头鹰",
                password_hash="-",
                email_claim=self.fresh(),
                username_claim=self.fresh(),
                subject_key=b"0" * 32,
            ),
        )
        return user

    def issue(
        self, amount_fen: int = 10_000, *, max_uses: int = 3, lifetime_s: int | None = None
    ) -> UUID:
        code = self.fresh()
        self.codes.append(code)
        expires = None if lifetime_s is None else self.now + timedelta(seconds=lifetime_s)
        self.run(
            recharge.issue_codes,
            recharge.IssueCodes(
                batch_id=self.fresh(),
                codes=(recharge.NewCode(code, "OWL-ABCD-****-****", "sealed"),),
                amount_fen=amount_fen,
                max_uses=max_uses,
                expires_at=expires,
                description="gift",
                at=self.now,
            ),
        )
        return code

    def redeem(self, user: UUID, code: UUID) -> None:
        self.run(
            recharge.redeem_code,
            recharge.RedeemCode(
                code_id=code, user_id=user, record_id=self.fresh(), at=self.now
            ),
        )

    def enrol(self, name: str = "gpu-1", *, slots: int = 4) -> UUID:
        server = self.fresh()
        self.servers.append(server)
        self.run(
            fleet.register_server,
            fleet.RegisterServer(
                server_id=server,
                name=name,
                max_concurrent_tasks=slots,
                token_digest="digest",
                token_expires_at=self.now + timedelta(hours=1),
            ),
        )
        self.run(
            fleet.enrol_server,
            fleet.EnrolServer(
                server_id=server,
                token_digest="digest",
                public_key="U" + server.hex,
                host="10.0.0.7",
                at=self.now,
            ),
        )
        return server

    def beat(
        self,
        server: UUID,
        *,
        boot_id: UUID | None = None,
        sequence: int = 1,
        serves_files: bool = False,
    ) -> Heartbeat:
        """A heartbeat of two GPUs, the second one failing now and then."""
        heartbeat = Heartbeat(
            report_id=self.fresh(),
            server_id=server,
            boot_id=boot_id or server,
            sequence=sequence,
            sent_at=self.now,
            agent_version="0.10.0",
            hostname="gpu-host",
            host=HostSample(cpu_percent=45.2, cpu_count=16, memory_percent=68.3),
            gpus=tuple(
                GpuSample(
                    index=index,
                    uuid=f"GPU-{server}-{index}",
                    usage_percent=80.0 + index,
                    memory_used_mib=1024 * (index + 1),
                    memory_total_mib=12_288,
                    healthy=index == 0 or sequence % 3 != 0,
                )
                for index in range(2)
            ),
            serves_files=serves_files,
        )
        self.run(fleet.note_server_seen, fleet.NoteServerSeen(heartbeat=heartbeat, at=self.now))
        return heartbeat

    def submit(
        self,
        user: UUID,
        task_type: str = "video_analysis",
        priority: int = 1,
        config: dict[str, Any] | None = None,
    ) -> UUID:
        task = self.fresh()
        self.tasks.append(task)
        self.run(
            tasks.submit_task,
            tasks.SubmitTask(
                task_id=task,
                user_id=user,
                order=TaskOrder(
                    title=f"task {task}",
                    task_type=task_type,
                    priority=priority,
                    estimated_duration_min=3,
                    config=config or {"video_url": "https://example.com/a.mp4"},
                ),
                is_admin=False,
                at=self.now,
            ),
        )
        return task

    def assign(self, task: UUID, server: UUID) -> None:
        self.run(
            dispatching.assign_task,
            dispatching.AssignTask(
                task_id=task,
                attempt=self.attempt(task),
                server_id=server,
                gpu_uuids=(f"GPU-{server}-0",),
                why={"candidates": 1},
                at=self.now,
            ),
        )

    def begin(self, task: UUID, server: UUID) -> None:
        self.run(
            task_reports.record_began,
            task_reports.RecordBegan(
                task_id=task, attempt=self.attempt(task), server_id=server, at=self.now
            ),
        )

    def advance(self, task: UUID, server: UUID, progress: float) -> None:
        self.run(
            task_reports.record_advanced,
            task_reports.RecordAdvanced(
                task_id=task,
                attempt=self.attempt(task),
                server_id=server,
                progress=progress,
                note="",
                at=self.now,
            ),
        )

    def end(self, task: UUID, server: UUID, outcome: Any = "completed", **rest: Any) -> None:
        self.run(
            task_reports.record_ended,
            task_reports.RecordEnded(
                task_id=task,
                attempt=self.attempt(task),
                server_id=server,
                outcome=outcome,
                run_ms=rest.pop("run_ms", 60_000),
                at=self.now,
                **rest,
            ),
        )

    def complete(self, task: UUID, run_ms: int = 60_000) -> None:
        """The whole way of a task on the first server."""
        server = self.servers[0]
        self.assign(task, server)
        self.begin(task, server)
        self.now += timedelta(milliseconds=run_ms)
        self.end(task, server, run_ms=run_ms, result={"scenes": 3})

    def attempt(self, task: UUID) -> int:
        state = self.log.state(TASK, task)
        return 1 if state is None else state.attempt
