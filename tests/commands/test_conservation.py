"""Money is conserved after every event, whatever users, agents and loops do to each other.

Random programs of commands over several users, tasks, servers and a clock; after each command
every new event is posted to a ledger of its own and compared with what the streams say.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from commands.fleet import (
    DrainServer,
    NoteServerSeen,
    NoteServerSilent,
    ResumeServer,
    drain_server,
    note_server_seen,
    note_server_silent,
    resume_server,
)
from commands.recharge import (
    IssueCodes,
    NewCode,
    RedeemCode,
    RevokeCode,
    issue_codes,
    redeem_code,
    revoke_code,
)
from commands.tasks import DeleteTask, RetryTask, delete_task, retry_task
from domain.errors import Refused
from domain.ids import CONFIGURATION_STREAM, account_stream
from domain.system.events import ConfigurationChanged
from domain.tasks.events import Reason
from domain.tasks.submission import TaskOrder
from domain.tasks.task import Outcome
from domain.wallet.wallet import adjust
from tests.commands.books import Books
from tests.commands.farm import Farm
from tests.domain.cast import ALICE, BOB, NOON, OTHER_SERVER, SERVER_ID, heartbeat

R = TypeVar("R")
USERS = st.sampled_from([ALICE, BOB])
SERVERS = st.sampled_from([SERVER_ID, OTHER_SERVER])
OF = st.sampled_from([None, None, None, SERVER_ID, OTHER_SERVER])
PICKS = st.integers(0, 3)
BACK = st.sampled_from([0, 0, 0, 0, 1])
OUTCOMES: st.SearchStrategy[Outcome] = st.sampled_from(
    ["completed", "completed", "failed", "cancelled", "refused"]
)
REASONS: st.SearchStrategy[Reason | None] = st.sampled_from(
    [None, "user_error", "timeout", "agent_lost", "gpu_error", "agent_refused"]
)


class Conservation(RuleBasedStateMachine):
    """``back`` is how many attempts ago a command is about: 0 is the current one.

    ``of`` is the server that a command names: mostly the one that has the task.
    """

    def __init__(self) -> None:
        super().__init__()
        self.farm = Farm()
        self.now = NOON
        self.books = Books(self.farm, (ALICE, BOB))
        self.tasks: list[UUID] = []
        self.codes: list[UUID] = []

    @initialize(limit=st.integers(1, 4), budget=st.integers(0, 2))
    def configured(self, limit: int, budget: int) -> None:
        after = {"max_concurrent_tasks_per_user": limit, "requeue_budget": budget}
        self.farm.given(CONFIGURATION_STREAM, ConfigurationChanged(before={}, after=after))
        self.farm.with_server(SERVER_ID).with_server(OTHER_SERVER)
        self.farm.with_balance(5_000, ALICE).with_balance(2_000, BOB)

    def tried(self, act: Callable[..., R], *arguments: Any, **named: Any) -> R | None:
        """What the command answers, ``None`` when it is refused; that leaves no trace."""
        before = len(self.farm.story)
        try:
            return act(*arguments, **named)
        except Refused:
            assert len(self.farm.story) == before
            return None

    def picked(self, pick: int) -> UUID:
        """One of the newest tasks, or one that never was."""
        return self.tasks[-1 - pick] if pick < len(self.tasks) else UUID(int=0xDEAD)

    def attempt_of(self, task_id: UUID, back: int) -> int:
        return self.farm.task(task_id).attempt - back if task_id in self.tasks else 1

    def server_of(self, task_id: UUID, of: UUID | None) -> UUID:
        known = self.farm.task(task_id).server_id if task_id in self.tasks else None
        return of or known or SERVER_ID

    @rule(seconds=st.sampled_from([1, 30, 60, 300, 3_600]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(amount_fen=st.integers(1, 5_000), max_uses=st.integers(1, 2))
    def admin_issues_a_code(self, amount_fen: int, max_uses: int) -> None:
        code_id = UUID(int=(1 << 64) + len(self.codes))
        order = IssueCodes(
            batch_id=code_id,
            codes=(NewCode(code_id, "OWL-ABCD-****-****", "sealed"),),
            amount_fen=amount_fen,
            max_uses=max_uses,
            expires_at=self.now + timedelta(seconds=200),
            description="",
            at=self.now,
        )
        self.farm.run(issue_codes, order)
        self.codes.append(code_id)

    @rule(user=USERS, pick=st.integers(0, 1), revoked=st.sampled_from([False, False, True]))
    def user_redeems(self, user: UUID, pick: int, revoked: object) -> None:
        code_id = self.codes[-1 - pick] if pick < len(self.codes) else UUID(int=0xDEAD)
        record_id = UUID(int=(1 << 65) + len(self.farm.story))
        redeem = RedeemCode(code_id=code_id, user_id=user, record_id=record_id, at=self.now)
        self.tried(self.farm.run, redeem_code, redeem)
        if revoked:
            self.tried(self.farm.run, revoke_code, RevokeCode(code_id=code_id))

    @rule(user=USERS, target_fen=st.integers(0, 6_000))
    def admin_adjusts(self, user: UUID, target_fen: int) -> None:
        wallet = self.farm.wallet(user)
        fact = self.tried(adjust, wallet, user_id=user, target_fen=target_fen, reason="")
        if fact is not None:
            self.farm.given(account_stream(user), fact)

    @rule(
        user=USERS,
        task_type=st.sampled_from(["video_analysis", "video_analysis", "test", "coffee"]),
        minutes=st.one_of(st.none(), st.integers(1, 20)),
    )
    def user_submits(self, user: UUID, task_type: str, minutes: int | None) -> None:
        task_id = UUID(int=(1 << 66) + len(self.tasks))
        order = TaskOrder(title="t", task_type=task_type, estimated_duration_min=minutes)
        named = {"task_id": task_id, "user_id": user, "at": self.now}
        if self.tried(self.farm.submit, order, **named) is not None:
            self.tasks.append(task_id)

    @rule(user=USERS, pick=PICKS)
    def user_cancels(self, user: UUID, pick: int) -> None:
        named = {"task_id": self.picked(pick), "user_id": user, "at": self.now}
        self.tried(self.farm.cancel, **named)

    @rule(user=USERS, pick=PICKS)
    def user_runs_again(self, user: UUID, pick: int) -> None:
        task_id = self.picked(pick)
        retry = RetryTask(task_id=task_id, user_id=user, is_admin=False, at=self.now)
        self.tried(self.farm.run, retry_task, retry)

    @rule(user=USERS, pick=PICKS)
    def user_deletes(self, user: UUID, pick: int) -> None:
        task_id = self.picked(pick)
        delete = DeleteTask(task_id=task_id, user_id=user, is_admin=False, at=self.now)
        self.tried(self.farm.run, delete_task, delete)

    @rule(server=SERVERS, change=st.sampled_from(["drained", "resumed", "silent", "seen"]))
    def server_changes(self, server: UUID, change: str) -> None:
        match change:
            case "drained":
                self.farm.run(drain_server, DrainServer(server_id=server))
            case "resumed":
                self.farm.run(resume_server, ResumeServer(server_id=server))
            case "silent":
                silent = NoteServerSilent(server_id=server, last_seen_at=self.now)
                self.farm.run(note_server_silent, silent)
            case _:
                seen = NoteServerSeen(heartbeat=heartbeat(server_id=server), at=self.now)
                self.farm.run(note_server_seen, seen)

    @rule(
        user=USERS,
        minutes=st.integers(1, 6),
        server=SERVERS,
        then=st.sampled_from(["runs", "is metered", "is cancelled", "is lost", "completes"]),
        seconds=st.integers(0, 600),
    )
    def user_s_task_runs(
        self, user: UUID, minutes: int, server: UUID, then: str, seconds: int
    ) -> None:
        """A straight way to where it becomes interesting."""
        self.user_submits(user, "video_analysis", minutes)
        self.server_changes(server, "seen")
        self.farm.assign(1, task_id=self.picked(0), server_id=server, at=self.now)
        self.farm.began(1, task_id=self.picked(0), server_id=server, at=self.now)
        self.time_passes(seconds)
        match then:
            case "is metered":
                self.platform_meters(0, 0)
            case "is cancelled":
                self.user_cancels(user, 0)
            case "is lost":
                self.platform_loses(0, 0, server, counted=True)
            case "completes":
                self.agent_ends(0, 0, server, "completed", None, seconds * 900, 2)
            case _:
                pass

    @rule(pick=PICKS, back=BACK, server=SERVERS)
    def scheduler_assigns(self, pick: int, back: int, server: UUID) -> None:
        task_id = self.picked(pick)
        attempt = self.attempt_of(task_id, back)
        self.farm.assign(attempt, task_id=task_id, server_id=server, at=self.now)

    @rule(pick=PICKS, back=BACK, of=OF)
    def agent_begins(self, pick: int, back: int, of: UUID | None) -> None:
        task_id = self.picked(pick)
        attempt = self.attempt_of(task_id, back)
        server = self.server_of(task_id, of)
        self.farm.began(attempt, task_id=task_id, server_id=server, at=self.now)

    @rule(
        pick=PICKS,
        back=BACK,
        of=OF,
        outcome=OUTCOMES,
        reason=REASONS,
        run_ms=st.integers(0, 4_000_000),
        times=st.integers(1, 2),
    )
    def agent_ends(
        self,
        pick: int,
        back: int,
        of: UUID | None,
        outcome: Outcome,
        reason: Reason | None,
        run_ms: int,
        times: int,
    ) -> None:
        task_id = self.picked(pick)
        attempt = self.attempt_of(task_id, back)
        server = self.server_of(task_id, of)
        for _ in range(times):
            self.farm.ended(
                outcome,
                attempt,
                task_id=task_id,
                server_id=server,
                reason=reason,
                run_ms=run_ms,
                at=self.now,
            )

    @rule(pick=PICKS, back=BACK, of=OF, counted=st.booleans())
    def platform_loses(self, pick: int, back: int, of: UUID | None, counted: object) -> None:
        task_id = self.picked(pick)
        attempt = self.attempt_of(task_id, back)
        server = self.server_of(task_id, of)
        self.farm.lose(
            attempt, task_id=task_id, server_id=server, counted=bool(counted), at=self.now
        )

    @rule(pick=PICKS, back=BACK)
    def platform_waits_no_longer(self, pick: int, back: int) -> None:
        task_id = self.picked(pick)
        self.farm.end_overdue(self.now, self.attempt_of(task_id, back), task_id)

    @rule(pick=PICKS, back=BACK)
    def platform_meters(self, pick: int, back: int) -> None:
        task_id = self.picked(pick)
        self.farm.meter(self.now, self.attempt_of(task_id, back), task_id)

    @invariant()
    def the_books_are_in_order(self) -> None:
        self.books.post()
        self.books.check_balances()
        self.books.check_holds(self.tasks)
        self.books.check_settlements()
        self.books.check_codes()


TestConservation = Conservation.TestCase
TestConservation.settings = settings(max_examples=100, stateful_step_count=60)


@pytest.mark.soak
def test_the_books_are_in_order_after_thousands_of_long_stories() -> None:
    longer = settings(max_examples=5_000, stateful_step_count=200, derandomize=False)
    run_state_machine_as_test(Conservation, settings=longer)
