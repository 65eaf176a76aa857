"""The people, machines and moments of the tests, and what happened to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from domain.accounts.events import UserRegistered
from domain.facts import Fact
from domain.fleet.events import GpuInventory, ServerCameOnline, ServerEnrolled, ServerRegistered
from domain.fleet.messages import GpuSample, Heartbeat, HostSample
from domain.money import available, held, transfer
from domain.recharge.events import CodeIssued, CodeRedeemed
from domain.tasks.events import (
    TaskAssigned,
    TaskCancelled,
    TaskCancelRequested,
    TaskCompleted,
    TaskDeleted,
    TaskFailed,
    TaskStarted,
    TaskSubmitted,
)
from domain.tasks.lifecycle import Phase
from domain.wallet.events import AccountRecharged, HoldPlaced
from domain.wallet.wallet import recharge

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALICE = UUID(int=0xA11CE)
BOB = UUID(int=0xB0B)
TASK_ID = UUID(int=0x7A5C)
OTHER_TASK = UUID(int=0x7A5D)
SERVER_ID = UUID(int=0x5E12)
OTHER_SERVER = UUID(int=0x5E13)
CODE_ID = UUID(int=0xC0DE)
RECORD_ID = UUID(int=0x2EC0)
BOOT = UUID(int=0xB001)
LATER_BOOT = UUID(int=0xB002)
GPU = "GPU-11111111-2222-3333-4444-555555555555"
OTHER_GPU = "GPU-66666666-7777-8888-9999-000000000000"
PRICE_FEN = 105
HOLD_FEN = 1_050


def after(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def registered(**changes: Any) -> UserRegistered:
    fact = UserRegistered(
        user_id=ALICE, email="alice@example.com", username="alice", full_name="爱丽丝"
    )
    return replace(fact, **changes)


def issued(**changes: Any) -> CodeIssued:
    fact = CodeIssued(
        code_id=CODE_ID,
        batch_id=UUID(int=1),
        hint="OWL-ABCD-****-****",
        sealed="ciphertext",
        amount_fen=10_000,
        max_uses=1,
    )
    return replace(fact, **changes)


def redeemed(**changes: Any) -> CodeRedeemed:
    fact = CodeRedeemed(
        code_id=CODE_ID,
        record_id=RECORD_ID,
        user_id=ALICE,
        amount_fen=10_000,
        redeemed_at=NOON,
    )
    return replace(fact, **changes)


def recharged(amount_fen: int = 10_000) -> AccountRecharged:
    return recharge(user_id=ALICE, amount_fen=amount_fen, record_id=RECORD_ID, code_id=CODE_ID)


def hold_placed(amount_fen: int = HOLD_FEN, *, task_id: UUID = TASK_ID) -> HoldPlaced:
    return HoldPlaced(
        user_id=ALICE,
        task_id=task_id,
        attempt=1,
        amount_fen=amount_fen,
        postings=transfer(amount_fen, source=available(ALICE), target=held(ALICE)),
    )


def submitted(**changes: Any) -> TaskSubmitted:
    fact = TaskSubmitted(
        task_id=TASK_ID,
        user_id=ALICE,
        title="分析",
        task_type="video_analysis",
        price_fen_per_minute=PRICE_FEN,
        hold_fen=HOLD_FEN,
    )
    return replace(fact, **changes)


def assigned(**changes: Any) -> TaskAssigned:
    fact = TaskAssigned(
        task_id=TASK_ID,
        user_id=ALICE,
        attempt=1,
        server_id=SERVER_ID,
        task_type="video_analysis",
        assigned_at=NOON,
    )
    return replace(fact, **changes)


def started(**changes: Any) -> TaskStarted:
    fact = TaskStarted(task_id=TASK_ID, attempt=1, server_id=SERVER_ID, started_at=NOON)
    return replace(fact, **changes)


def cancel_requested(**changes: Any) -> TaskCancelRequested:
    fact = TaskCancelRequested(
        task_id=TASK_ID,
        attempt=1,
        server_id=SERVER_ID,
        reason="cancelled_by_user",
        requested_at=after(60),
    )
    return replace(fact, **changes)


def completed(**changes: Any) -> TaskCompleted:
    fact = TaskCompleted(
        task_id=TASK_ID,
        user_id=ALICE,
        attempt=1,
        server_id=SERVER_ID,
        run_ms=60_000,
        cost_fen=PRICE_FEN,
        finished_at=after(60),
    )
    return replace(fact, **changes)


def failed(**changes: Any) -> TaskFailed:
    fact = TaskFailed(
        task_id=TASK_ID,
        user_id=ALICE,
        attempt=1,
        reason="user_error",
        run_ms=60_000,
        cost_fen=PRICE_FEN,
        finished_at=after(60),
        server_id=SERVER_ID,
    )
    return replace(fact, **changes)


def cancelled(**changes: Any) -> TaskCancelled:
    fact = TaskCancelled(
        task_id=TASK_ID,
        user_id=ALICE,
        attempt=1,
        reason="cancelled_by_user",
        run_ms=0,
        cost_fen=0,
        finished_at=after(60),
        server_id=SERVER_ID,
    )
    return replace(fact, **changes)


def deleted() -> TaskDeleted:
    return TaskDeleted(task_id=TASK_ID, user_id=ALICE)


HISTORIES: dict[Phase, tuple[Fact, ...]] = {
    "pending": (submitted(),),
    "assigned": (submitted(), assigned()),
    "running": (submitted(), assigned(), started()),
    "cancelling": (submitted(), assigned(), started(), cancel_requested()),
    "completed": (submitted(), assigned(), started(), completed()),
    "failed": (submitted(), assigned(), started(), failed()),
    "cancelled": (submitted(), cancelled(server_id=None)),
    "deleted": (submitted(), cancelled(server_id=None), deleted()),
}
"""The shortest way to each phase."""


def server_registered(**changes: Any) -> ServerRegistered:
    fact = ServerRegistered(
        server_id=SERVER_ID,
        name="GPU-Server-01",
        max_concurrent_tasks=2,
        token_digest="digest",
        token_expires_at=after(3600),
    )
    return replace(fact, **changes)


def server_enrolled(**changes: Any) -> ServerEnrolled:
    fact = ServerEnrolled(server_id=SERVER_ID, public_key="UKEY", host="gpu01")
    return replace(fact, **changes)


def came_online(**changes: Any) -> ServerCameOnline:
    fact = ServerCameOnline(
        server_id=SERVER_ID,
        boot_id=BOOT,
        seen_at=NOON,
        agent_version="0.10.0",
        host="gpu01",
        cpu_count=16,
        memory_total_mib=65_536,
        gpus=(GpuInventory(index=0, uuid=GPU, name="GPU", memory_total_mib=24_576),),
    )
    return replace(fact, **changes)


def gpu_sample(**changes: Any) -> GpuSample:
    return replace(GpuSample(index=0, uuid=GPU, name="GPU", memory_total_mib=24_576), **changes)


def heartbeat(**changes: Any) -> Heartbeat:
    message = Heartbeat(
        report_id=UUID(int=9),
        server_id=SERVER_ID,
        boot_id=BOOT,
        sequence=1,
        sent_at=NOON,
        agent_version="0.10.0",
        hostname="gpu01",
        host=HostSample(cpu_count=16, memory_total_mib=65_536),
        gpus=(gpu_sample(),),
    )
    return replace(message, **changes)
