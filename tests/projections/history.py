"""Random histories: valid ones, since real handlers decide, with many refusals between."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from msgspec.structs import asdict, replace

from commands import accounts, configuration, dispatching, fleet, profile, recharge, tasks
from domain.accounts.events import (
    ProfileChanged,
    RoleChanged,
    UserDeactivated,
    UserErased,
    UserReactivated,
)
from domain.accounts.user import USER
from domain.envelope import Recorded
from domain.facts import Fact
from domain.fleet.messages import (
    HostSample,
    OutputLine,
    RunningTask,
)
from domain.ids import READ_MODELS_STREAM, account_stream
from domain.system.accesses import (
    AuditAccessed,
    AuditTailEnded,
    LoginRefused,
    LogRead,
    PersonReported,
)
from domain.system.events import ReadModelSwitched
from domain.system.log_keys import LogKeyRotated
from domain.tasks.events import TaskSubmitted, TaskSubmittedInClear
from domain.tasks.task import TASK
from domain.telemetry.events import HeartbeatReceived, TaskOutputReceived
from domain.wallet.wallet import WALLET, adjust
from tests.projections.farm import Farm
from tests.projections.feed import NOON, recorded


def as_before(event: Recorded[Any]) -> Recorded[Any]:
    """As it would have been recorded when what users wrote was not sealed yet."""
    if not isinstance(event.fact, TaskSubmitted):
        return event
    return replace(event, fact=TaskSubmittedInClear(**asdict(event.fact)))


class RandomFarm(Farm):
    """A farm on which anything happens."""

    def happen(self, steps: int) -> list[Recorded[Any]]:
        """A random history of about this many commands, many of them refused."""
        for make in (self.register, self.issue, self.enrol):
            make()
        for _ in range(steps):
            self._anything()
        return [as_before(event) if event.position % 2 else event for event in self.events]

    def _look(self, user: UUID) -> None:
        """Somebody looks, or knocks: each time a stream of its own."""
        asked = self.random.choice(("/api/logs/system?level=ERROR", "/api/logs/user-actions"))
        fact = self.random.choice(
            (
                AuditAccessed(user_id=user, asked="/api/audit/events", after=3, until=9),
                AuditTailEnded(user_id=user, upto=9, sent=2, reason="left"),
                LogRead(user_id=user, asked=asked, search="夜"),
                PersonReported(user_id=user),
                LoginRefused(
                    account=self.fresh(), address=self.fresh(), reason="unknown", untold=2
                ),
                LoginRefused(
                    account=self.fresh(),
                    address=self.fresh(),
                    reason="wrong_password",
                    user_id=user,
                    closed_until=self.now,
                ),
                LogKeyRotated(note="a statement\n\n- by two\n"),
            )
        )
        self.say(self.fresh(), fact)

    def _anything(self) -> None:
        random = self.random
        self.actor = random.choice(("system:test", "agent:gpu-1", "policy:x", self._somebody()))
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
            lambda: self.say(user, UserErased(user_id=user, token_version=4, reason="wish")),
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
            lambda: self._new_password(user),
            lambda: self.run(recharge.reveal_code, recharge.RevealCode(code_id=code)),
            lambda: self.run(
                fleet.issue_enrolment_token,
                fleet.IssueEnrolmentToken(
                    server_id=server, token_digest="other", token_expires_at=self.now
                ),
            ),
            lambda: self.run(
                configuration.change_configuration,
                configuration.ChangeConfiguration(
                    changes={"requeue_budget": random.randint(0, 5)}
                ),
            ),
            lambda: self.say(
                READ_MODELS_STREAM,
                ReadModelSwitched(
                    read_model="users",
                    before_generation=1,
                    after_generation=2,
                    at_position=len(self.events),
                ),
            ),
            lambda: self._look(user),
            *[lambda: self._let_pass(timedelta(seconds=100))] * 2,
            lambda: self.register() if len(self.users) < 5 else None,
            lambda: self.issue(
                max_uses=random.randint(1, 3), lifetime_s=random.choice((None, 9))
            ),
            lambda: self.run(recharge.revoke_code, recharge.RevokeCode(code_id=code)),
            lambda: self.enrol(slots=4) if len(self.servers) < 3 else None,
            lambda: self.run(
                accounts.log_in, accounts.LogIn(user_id=user, token_version=1, address="::1")
            ),
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
            * 6,
        ]
        random.choice(choices)()

    def _new_password(self, user: UUID) -> None:
        state = self.log.state(USER, user)
        assert state is not None
        self.run(
            profile.change_password,
            profile.ChangePassword(
                user_id=user, password_hash="-", token_version=state.token_version
            ),
        )

    def _somebody(self) -> str:
        return f"{self.random.choice(('user', 'admin'))}:{self.random.choice(self.users)}"

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
