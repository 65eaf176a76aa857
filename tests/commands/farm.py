"""A farm in memory, driven by commands only: what the tests of handlers play on."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from commands.dispatching import (
    AssignTask,
    EndOverdueCancel,
    ExtendHold,
    HoldReviewed,
    LoseAttempt,
    assign_task,
    end_overdue_cancel,
    extend_hold,
    lose_attempt,
)
from commands.fleet import NoteServerSeen, RegisterServer, note_server_seen, register_server
from commands.recharge import IssueCodes, NewCode, RedeemCode, issue_codes, redeem_code
from commands.task_reports import (
    RecordAdvanced,
    RecordBegan,
    RecordEnded,
    record_advanced,
    record_began,
    record_ended,
)
from commands.tasks import CancelTask, Queued, SubmitTask, TaskNow, cancel_task, submit_task
from domain.facts import Fact
from domain.ids import account_stream
from domain.tasks.events import Reason
from domain.tasks.submission import TaskOrder
from domain.tasks.task import TASK, Outcome, Task
from domain.wallet.wallet import WALLET, Wallet
from tests.domain.cast import ALICE, NOON, SERVER_ID, TASK_ID, after, heartbeat
from tests.memory import MemoryLog

VIDEO = TaskOrder(title="分析", task_type="video_analysis")
FREE = TaskOrder(title="试", task_type="test")


class Farm(MemoryLog):
    """Commands in the words of a story; what is left out is Alice, her task, her server."""

    def with_server(self, server_id: UUID = SERVER_ID) -> Farm:
        """A server that is online."""
        register = RegisterServer(
            server_id=server_id,
            name="GPU-Server-01",
            max_concurrent_tasks=2,
            token_digest="digest",
            token_expires_at=after(3_600),
        )
        self.run(register_server, register)
        beat = heartbeat(server_id=server_id)
        self.run(note_server_seen, NoteServerSeen(heartbeat=beat, at=NOON))
        return self

    def with_balance(self, amount_fen: int, user_id: UUID = ALICE) -> Farm:
        """A code, issued to and redeemed by the user."""
        code_id = UUID(int=len(self.story) + 1)
        codes = (NewCode(code_id, "OWL-ABCD-****-****", "ciphertext"),)
        order = IssueCodes(
            batch_id=code_id,
            codes=codes,
            amount_fen=amount_fen,
            max_uses=1,
            expires_at=None,
            description="",
            at=NOON,
        )
        self.run(issue_codes, order)
        redeem = RedeemCode(code_id=code_id, user_id=user_id, record_id=code_id, at=NOON)
        self.run(redeem_code, redeem)
        return self

    def submit(self, order: TaskOrder = VIDEO, **changes: Any) -> Queued:
        """Ask for work."""
        command: dict[str, Any] = {
            "task_id": TASK_ID,
            "user_id": ALICE,
            "order": order,
            "is_admin": False,
            "at": NOON,
        }
        return self.run(submit_task, SubmitTask(**(command | changes)))

    def cancel(self, **changes: Any) -> TaskNow:
        """Want the task to stop."""
        command: dict[str, Any] = {
            "task_id": TASK_ID,
            "user_id": ALICE,
            "is_admin": False,
            "at": NOON,
        }
        return self.run(cancel_task, CancelTask(**(command | changes)))

    def assign(self, attempt: int = 1, **changes: Any) -> bool:
        """The scheduler's command: whether it was done."""
        command: dict[str, Any] = {
            "task_id": TASK_ID,
            "attempt": attempt,
            "server_id": SERVER_ID,
            "at": NOON,
        }
        return self.run(assign_task, AssignTask(**(command | changes))).done

    def began(self, attempt: int = 1, **changes: Any) -> str:
        """The agent's report: what became of it."""
        return self.run(record_began, RecordBegan(**(_report(attempt) | changes))).verdict

    def advanced(self, percent: float, attempt: int = 1, **changes: Any) -> str:
        """The agent's report: what became of it."""
        report = _report(attempt) | {"progress": percent, "note": ""} | changes
        return self.run(record_advanced, RecordAdvanced(**report)).verdict

    def ended(self, outcome: Outcome, attempt: int = 1, **changes: Any) -> str:
        """The agent's report: what became of it."""
        report = _report(attempt) | {"outcome": outcome, "run_ms": 0} | changes
        return self.run(record_ended, RecordEnded(**report)).verdict

    def lose(self, attempt: int = 1, **changes: Any) -> bool:
        """The platform gives an attempt up: whether it was done."""
        reason: Reason = "agent_lost"
        command = _report(attempt) | {"reason": reason, "counted": True} | changes
        return self.run(lose_attempt, LoseAttempt(**command)).done

    def end_overdue(self, at: datetime, attempt: int = 1, task_id: UUID = TASK_ID) -> bool:
        """The platform waits for a confirmation no longer: whether it was done."""
        command = EndOverdueCancel(task_id=task_id, attempt=attempt, at=at)
        return self.run(end_overdue_cancel, command).done

    def meter(self, at: datetime, attempt: int = 1, task_id: UUID = TASK_ID) -> HoldReviewed:
        """The platform looks whether the hold lasts."""
        return self.run(extend_hold, ExtendHold(task_id=task_id, attempt=attempt, at=at))

    def task(self, task_id: UUID = TASK_ID) -> Task:
        """The task as it is."""
        task = self.state(TASK, task_id)
        assert task is not None
        return task

    def wallet(self, user_id: UUID = ALICE) -> Wallet:
        """The account as it is."""
        return self.state(WALLET, account_stream(user_id))

    def last(self, count: int) -> list[Fact]:
        """The newest facts of all streams."""
        return [fact for _, fact in self.story[-count:]]


def running(balance_fen: int = 10_000) -> Farm:
    """Alice's task runs since noon, with 10.50 of her money held."""
    farm = Farm().with_server().with_balance(balance_fen)
    farm.submit()
    farm.assign()
    farm.began()
    return farm


def _report(attempt: int) -> dict[str, Any]:
    return {"task_id": TASK_ID, "attempt": attempt, "server_id": SERVER_ID, "at": NOON}
