"""Valid histories for read models: what the real handlers commit, with envelopes around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from msgspec import Struct

from commands import accounts, dispatching, fleet, recharge, task_reports, tasks
from domain.accounts.events import (
    ProfileChanged,
    RoleChanged,
    UserDeactivated,
    UserReactivated,
)
from domain.envelope import Recorded
from domain.errors import Refused
from domain.facts import Fact
from domain.fleet.messages import (
    GpuSample,
    Heartbeat,
    HostSample,
    OutputLine,
    RunningTask,
)
from domain.ids import account_stream, uuid7
from domain.tasks.submission import TaskOrder
from domain.tasks.task import TASK
from domain.telemetry.events import HeartbeatReceived, TaskOutputReceived
from domain.wallet.wallet import WALLET, adjust
from tests.memory import MemoryLog

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class ListFeed:
    """A log in a list: ``domain.ports.EventFeed``."""

    def __init__(self, events: Sequence[Recorded[Any]] = ()) -> None:
        self.events = list(events)

    def head(self) -> int:
        return len(self.events)

    def read(self, after: int, limit: int) -> Sequence[Recorded[Any]]:
        return self.events[after : after + limit]

    def append(self, stream: UUID, *facts: Fact, at: datetime = NOON) -> None:
        for fact in facts:
            self.events.append(recorded(fact, stream, len(self.events) + 1, at))


def recorded(fact: Fact, stream: UUID, position: int, at: datetime) -> Recorded[Any]:
    return Recorded(
        position=position,
        stream=stream,
        version=position,
        recorded_at=at,
        actor="system:test",
        command_id=UUID(int=position),
        correlation_id="test",
        causation_id=None,
        fact=fact,
    )


class Farm:
    """A platform in memory, driven by commands; ``events`` is what happened so far."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.log = MemoryLog()
        self.events: list[Recorded[Any]] = []
        self.now = NOON
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
            self.events.append(recorded(fact, stream, len(self.events) + 1, self.now))
        self.now += timedelta(seconds=1)

    def say(self, stream: UUID, *facts: Fact) -> None:
        """Facts for which there is no command yet."""
        self.log.given(stream, *facts)
        for fact in facts:
            self.events.append(recorded(fact, stream, len(self.events) + 1, self.now))

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
        self, server: UUID, *, boot_id: UUID | None = None, sequence: int = 1
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
        )
        self.run(fleet.note_server_seen, fleet.NoteServerSeen(heartbeat=heartbeat, at=self.now))
        return heartbeat

    def submit(self, user: UUID, task_type: str = "video_analysis", priority: int = 1) -> UUID:
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
                    config={"video_url": "https://example.com/a.mp4"},
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

    def happen(self, steps: int) -> list[Recorded[Any]]:
        """A random history of about this many commands, many of them refused."""
        for make in (self.register, self.issue, self.enrol):
            make()
        for _ in range(steps):
            self._anything()
        return self.events

    def _anything(self) -> None:
        random = self.random
        user, code = random.choice(self.users), random.choice(self.codes)
        server = random.choice(self.servers)
        task = random.choice(self.tasks[-6:]) if self.tasks else self.fresh()
        state = self.log.state(TASK, task)
        if state is not None and state.server_id is not None and random.random() < 0.8:
            server = state.server_id
        owner = user if state is None else state.user_id
        wish: dict[str, Any] = {
            "task_id": task,
            "user_id": owner,
            "is_admin": True,
            "at": self.now,
        }
        wallet = account_stream(user)
        choices: list[Callable[[], Any]] = [
            lambda: self.say(user, ProfileChanged(user_id=user, full_name="夜猫子")),
            lambda: self.say(
                user, RoleChanged(user_id=user, before="user", after="admin", token_version=2)
            ),
            lambda: self.say(
                user,
                UserDeactivated(user_id=user, token_version=3),
                UserReactivated(user_id=user),
            ),
            lambda: self.say(
                wallet,
                adjust(
                    self.log.state(WALLET, wallet),
                    user_id=user,
                    target_fen=self.log.state(WALLET, wallet).held_fen + 500,
                    reason="goodwill",
                ),
            ),
            lambda: self.run(
                fleet.change_server, fleet.ChangeServer(server_id=server, name="renamed")
            ),
            lambda: self._remove(server),
            lambda: self._let_pass(timedelta(seconds=100)),
            lambda: self.register() if len(self.users) < 5 else None,
            lambda: self.issue(
                max_uses=random.randint(1, 3), lifetime_s=random.choice((None, 9))
            ),
            lambda: self.run(recharge.revoke_code, recharge.RevokeCode(code_id=code)),
            lambda: self.enrol(slots=4) if len(self.servers) < 3 else None,
            lambda: self.run(accounts.log_in, accounts.LogIn(user_id=user, address="::1")),
            lambda: self.run(
                dispatching.lose_attempt,
                dispatching.LoseAttempt(
                    task_id=task,
                    attempt=self.attempt(task),
                    server_id=server,
                    reason="agent_lost",
                    counted=random.random() < 0.5,
                    at=self.now,
                ),
            ),
            lambda: self.run(
                fleet.note_server_silent,
                fleet.NoteServerSilent(server_id=server, last_seen_at=self.now),
            ),
            lambda: self.run(fleet.drain_server, fleet.DrainServer(server_id=server)),
            lambda: self.run(fleet.resume_server, fleet.ResumeServer(server_id=server)),
            lambda: self.run(tasks.retry_task, tasks.RetryTask(**wish)),
            lambda: self.run(tasks.delete_task, tasks.DeleteTask(**wish)),
            lambda: self.run(tasks.cancel_task, tasks.CancelTask(**wish)),
            *[lambda: self.redeem(user, code)] * 4,
            *[lambda: self.beat(server, sequence=random.randint(1, 9))] * 2,
            *[lambda: self.submit(user, random.choice(("video_analysis", "test")))] * 3,
            *[lambda: self.assign(task, server)] * 8,
            *[lambda: self.begin(task, server)] * 8,
            *[lambda: self.advance(task, server, random.uniform(0, 100))] * 4,
            *[lambda: self.end(task, server)] * 4,
            lambda: self.end(task, server, "failed", reason="user_error", error_message="\0?"),
            lambda: self.end(task, server, "refused"),
            lambda: self.end(task, server, "cancelled"),
            *[
                lambda: self.run(
                    dispatching.extend_hold,
                    dispatching.ExtendHold(
                        task_id=task, attempt=self.attempt(task), at=self.now
                    ),
                )
            ]
            * 3,
        ]
        random.choice(choices)()

    def _let_pass(self, time: timedelta) -> None:
        self.now += time

    def _remove(self, server: UUID) -> None:
        if self.random.random() < 0.1:
            self.run(fleet.remove_server, fleet.RemoveServer(server_id=server, running_tasks=0))


def telemetry(seed: int, length: int) -> list[Recorded[Any]]:
    """Heartbeats and output of two servers and three tasks; some come twice or out of order."""
    random = Random(seed)
    servers = [UUID(int=10), UUID(int=11)]
    work = [UUID(int=20), UUID(int=21), UUID(int=22)]
    events: list[Recorded[Any]] = []
    for position in range(1, length + 1):
        at = NOON + timedelta(seconds=position)
        server, task = random.choice(servers), random.choice(work)
        fact: Fact
        if random.random() < 0.5:
            fact = HeartbeatReceived(
                server_id=server,
                boot_id=UUID(int=random.randint(1, 2)),
                sequence=random.randint(1, 9),
                sent_at=at,
                host=HostSample(cpu_percent=random.uniform(0, 100)),
                running=(
                    RunningTask(task_id=task, attempt=1, progress=random.uniform(0, 100)),
                ),
            )
        else:
            lines = tuple(
                OutputLine(at=at, level="INFO", text=f"line {line} \0")
                for line in range(random.randint(1, 3))
            )
            fact = TaskOutputReceived(
                task_id=task,
                attempt=1,
                sequence=random.randint(1, 20),
                server_id=server,
                lines=lines,
            )
        events.append(recorded(fact, task, position, at))
    return events
