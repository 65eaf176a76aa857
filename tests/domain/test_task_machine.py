"""A task in a storm: users, agents, zombies and a clock do what they like to it.

Whatever they do, each attempt ends at most once, only the current attempt of the server that
has it moves the task, and no stale word changes anything.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.errors import Refused
from domain.facts import Fact
from domain.system.configuration import Configuration
from domain.tasks.ending import Concluded, conclude, lose, overdue
from domain.tasks.events import (
    Reason,
    StaleReportRefused,
    TaskAssigned,
    TaskCancelled,
    TaskCompleted,
    TaskFailed,
    TaskRequeued,
)
from domain.tasks.fencing import Report, judge, refuse_stale
from domain.tasks.lifecycle import OPEN
from domain.tasks.running import assign, progress, start, start_unseen
from domain.tasks.submission import cancel, delete, retry
from domain.tasks.task import REFUSALS_KEPT, TASK, Outcome, Task
from tests.domain.cast import NOON, OTHER_SERVER, PRICE_FEN, SERVER_ID, submitted

SERVERS = st.sampled_from([SERVER_ID, OTHER_SERVER])
OF = st.sampled_from([None, None, None, SERVER_ID, OTHER_SERVER])
BACK = st.sampled_from([0, 0, 0, 0, 1, 2])
OUTCOMES: st.SearchStrategy[Outcome] = st.sampled_from(
    ["completed", "failed", "cancelled", "refused"]
)
REASONS: st.SearchStrategy[Reason | None] = st.sampled_from(
    [None, "user_error", "timeout", "agent_lost", "gpu_error", "agent_refused", "internal"]
)
BUDGET = 2
LIMIT_FEN = 500
TERMINAL = (TaskCompleted, TaskFailed, TaskCancelled)


class Storm(RuleBasedStateMachine):
    """``back`` is how many attempts ago a report is of: 0 is the current one.

    ``of`` is the server that reports: mostly the one that has the task.
    """

    def __init__(self) -> None:
        super().__init__()
        self.facts: list[Fact] = [submitted()]
        self.now = NOON

    @property
    def task(self) -> Task:
        task = TASK.fold(self.facts)
        assert task is not None
        return task

    @rule(seconds=st.integers(0, 600))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(server=SERVERS, back=BACK)
    def scheduler_assigns(self, server: UUID, back: int) -> None:
        fact = assign(
            self.task,
            attempt=self.task.attempt - back,
            server_id=server,
            gpu_uuids=(),
            why={},
            now=self.now,
        )
        assert (fact is not None) == (self.task.phase == "pending" and back == 0)
        if fact is not None:
            self.facts.append(fact)

    @precondition(lambda self: self.task.phase == "pending")
    @rule(server=SERVERS)
    def attempt_runs(self, server: UUID) -> None:
        self.scheduler_assigns(server, 0)
        self.agent_begins(server, 0)

    @rule(of=OF, back=BACK)
    def agent_begins(self, of: UUID | None, back: int) -> None:
        if self.judged(of, back, "began"):
            self.facts.extend(start(self.task, now=self.now))

    @rule(of=OF, back=BACK, percent=st.floats(0, 100))
    def agent_advances(self, of: UUID | None, back: int, percent: float) -> None:
        if self.judged(of, back, "advanced"):
            self.facts.extend(start(self.task, now=self.now))
            self.facts.extend(progress(self.task, percent=percent, note=""))

    @rule(
        of=OF,
        back=BACK,
        outcome=OUTCOMES,
        reason=REASONS,
        run_ms=st.integers(-1, 10**7),
    )
    def agent_ends(
        self, of: UUID | None, back: int, outcome: Outcome, reason: Reason | None, run_ms: int
    ) -> None:
        if not self.judged(of, back, outcome):
            return
        if outcome == "completed":
            self.facts.extend(start_unseen(self.task, run_ms=run_ms, now=self.now))
        said = Concluded(outcome=outcome, run_ms=run_ms, reason=reason)
        self.facts.append(
            conclude(self.task, said, budget=BUDGET, limit_fen=LIMIT_FEN, now=self.now)
        )

    @precondition(lambda self: self.task.server_id is not None and self.task.phase in OPEN)
    @rule()
    def platform_loses_the_attempt(self) -> None:
        self.facts.append(
            lose(self.task, reason="agent_lost", counted=True, budget=BUDGET, now=self.now)
        )

    @precondition(lambda self: self.task.phase == "cancelling")
    @rule()
    def platform_waits_no_longer(self) -> None:
        self.facts.append(overdue(self.task, now=self.now, limit_fen=LIMIT_FEN))

    @rule(reason=st.sampled_from(["cancelled_by_user", "cancelled_by_admin"]))
    def user_cancels(self, reason: Reason) -> None:
        with suppress(Refused):
            fact = cancel(self.task, reason=reason, now=self.now)
            if fact is not None:
                self.facts.append(fact)

    @precondition(lambda self: self.task.phase == "running")
    @rule()
    def money_runs_out(self) -> None:
        fact = cancel(self.task, reason="balance_exhausted", now=self.now)
        assert fact is not None
        self.facts.append(fact)

    @rule()
    def user_runs_it_again(self) -> None:
        with suppress(Refused):
            self.facts.append(retry(self.task, configuration=Configuration()))

    @precondition(lambda self: len(self.facts) > 30)
    @rule()
    def user_deletes(self) -> None:
        with suppress(Refused):
            self.facts.append(delete(self.task))

    def judged(self, of: UUID | None, back: int, report: Report) -> bool:
        """Whether the report counts; one that does not must change nothing but the record."""
        task, attempt = self.task, self.task.attempt - back
        server = of or task.server_id or SERVER_ID
        verdict = judge(task, attempt=attempt, server_id=server, report=report)
        if verdict == "stale":
            self.facts.extend(
                refuse_stale(task, attempt=attempt, server_id=server, report=report)
            )
            assert (self.task.phase, self.task.past) == (task.phase, task.past)
        has_it = task.server_id == server and back == 0 and task.phase in OPEN
        assert (verdict == "current") == has_it
        return has_it

    @invariant()
    def an_attempt_ends_at_most_once(self) -> None:
        ends: Counter[int] = Counter()
        for fact in self.facts:
            if isinstance(fact, TERMINAL):
                ends[fact.attempt] += 1
            elif isinstance(fact, TaskRequeued):
                ends[fact.attempt - 1] += 1
        assert all(count == 1 for count in ends.values())
        given_out = Counter(f.attempt for f in self.facts if isinstance(f, TaskAssigned))
        assert all(count == 1 for count in given_out.values())

    @invariant()
    def a_charge_is_within_the_hold_and_the_time_that_passed(self) -> None:
        assignments = [fact for fact in self.facts if isinstance(fact, TaskAssigned)]
        assigned_at = {fact.attempt: fact.assigned_at for fact in assignments}
        for fact in self.facts:
            if not isinstance(fact, TERMINAL):
                continue
            assert 0 <= fact.cost_fen <= LIMIT_FEN
            since = assigned_at.get(fact.attempt)
            passed_ms = 0
            if since is not None:
                passed_ms = round((fact.finished_at - since).total_seconds() * 1000)
            assert 0 <= fact.run_ms <= passed_ms
            assert fact.cost_fen <= passed_ms * PRICE_FEN / 60_000 + 1

    @invariant()
    def losses_stay_within_the_budget_and_the_record_within_its_bound(self) -> None:
        assert self.task.lost <= BUDGET
        refused = [fact for fact in self.facts if isinstance(fact, StaleReportRefused)]
        assert len(refused) <= REFUSALS_KEPT
        assert len({(f.attempt, f.server_id, f.report) for f in refused}) == len(refused)


TestStorm = Storm.TestCase
TestStorm.settings = settings(max_examples=100, stateful_step_count=50)


@pytest.mark.soak
def test_a_task_keeps_its_rules_in_thousands_of_long_storms() -> None:
    longer = settings(max_examples=5_000, stateful_step_count=200, derandomize=False)
    run_state_machine_as_test(Storm, settings=longer)
