"""One sample of every fact, with every field filled in.

Long because a table: a fact of every kind, with all that it can say.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from domain.accounts.events import (
    AdminAppointed,
    AdminDismissed,
    NameClaimed,
    NameReleased,
    PasswordChanged,
    ProfileChanged,
    RoleChanged,
    UserDeactivated,
    UserErased,
    UserLoggedIn,
    UserReactivated,
    UserRegistered,
)
from domain.facts import Fact
from domain.fleet.events import (
    EnrolmentTokenIssued,
    GpuFailed,
    GpuInventory,
    GpuRecovered,
    ServerCameOnline,
    ServerChanged,
    ServerDrained,
    ServerEnrolled,
    ServerRegistered,
    ServerRemoved,
    ServerResumed,
    ServerWentOffline,
)
from domain.fleet.messages import GpuSample, HostSample, OutputLine, RunningTask
from domain.money import Posting
from domain.recharge.events import CodeIssued, CodeRedeemed, CodeRevealed, CodeRevoked
from domain.system.accesses import (
    AuditAccessed,
    AuditTailEnded,
    LoginRefused,
    LogRead,
    PersonReported,
)
from domain.system.events import ConfigurationChanged, ReadModelSwitched
from domain.system.log_keys import LogKeyRotated
from domain.system.read_models import (
    KeptGenerationDropped,
    ReadModelActAsked,
    ReadModelActBegun,
    ReadModelActRefused,
    ReadModelResumed,
    ReadModelRolledBack,
    ReadModelVerified,
    RebuildCancelled,
    RebuildFailed,
    RebuildPaused,
    RebuildStarted,
)
from domain.tasks.events import (
    Artifact,
    StaleReportRefused,
    TaskAssigned,
    TaskCancelled,
    TaskCancelRequested,
    TaskCompleted,
    TaskDeleted,
    TaskFailed,
    TaskProgressed,
    TaskRequeued,
    TaskRetried,
    TaskStarted,
    TaskSubmitted,
    TaskSubmittedInClear,
)
from domain.telemetry.events import HeartbeatReceived, TaskOutputReceived
from domain.wallet.events import (
    AccountRecharged,
    BalanceAdjusted,
    HoldExtended,
    HoldPlaced,
    HoldSettled,
)

AT: Final = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
USER: Final = UUID("019f0000-0000-7000-8000-00000000a11c")
TASK: Final = UUID("019f0000-0000-7000-8000-0000000007a5")
SERVER: Final = UUID("019f0000-0000-7000-8000-000000005e12")
CODE: Final = UUID("c0de0000-0000-8000-8000-000000000001")
CLAIM: Final = UUID("c1a10000-0000-8000-8000-000000000001")
RECORD: Final = UUID("019f0000-0000-7000-8000-000000002ec0")
BATCH: Final = UUID("019f0000-0000-7000-8000-00000000ba7c")
BOOT: Final = UUID("019f0000-0000-7000-8000-00000000b007")
GPU: Final = "GPU-11111111-2222-3333-4444-555555555555"
SPENDS: Final = f"available/{USER}"
HELD: Final = f"held/{USER}"

ACCOUNTS: Final[tuple[Fact, ...]] = (
    UserRegistered(
        user_id=USER,
        email="alice@example.com",
        username="alice",
        full_name="爱丽丝",
        role="admin",
        username_claim=CLAIM,
    ),
    UserLoggedIn(user_id=USER, address="203.0.113.7"),
    ProfileChanged(
        user_id=USER, full_name="爱丽丝二世", username="alice2", username_claim=CLAIM
    ),
    PasswordChanged(user_id=USER, token_version=2),
    RoleChanged(user_id=USER, before="user", after="auditor", token_version=3, reason="转岗"),
    UserDeactivated(user_id=USER, token_version=4, reason="离职"),
    UserReactivated(user_id=USER, reason="返聘"),
    UserErased(user_id=USER, token_version=3, reason="本人要求"),
    NameClaimed(kind="email", user_id=USER),
    NameReleased(kind="username", user_id=USER),
    AdminAppointed(user_id=USER),
    AdminDismissed(user_id=USER),
)

MONEY: Final[tuple[Fact, ...]] = (
    AccountRecharged(
        user_id=USER,
        amount_fen=10_000,
        record_id=RECORD,
        code_id=CODE,
        postings=(Posting("recharged", -10_000), Posting(SPENDS, 10_000)),
    ),
    BalanceAdjusted(
        user_id=USER,
        delta_fen=-100,
        before_fen=10_000,
        after_fen=9_900,
        reason="错充",
        postings=(Posting("granted", 100), Posting(SPENDS, -100)),
    ),
    HoldPlaced(
        user_id=USER,
        task_id=TASK,
        attempt=1,
        amount_fen=1_050,
        postings=(Posting(SPENDS, -1_050), Posting(HELD, 1_050)),
    ),
    HoldExtended(
        user_id=USER,
        task_id=TASK,
        attempt=1,
        amount_fen=525,
        postings=(Posting(SPENDS, -525), Posting(HELD, 525)),
    ),
    HoldSettled(
        user_id=USER,
        task_id=TASK,
        attempt=1,
        charged_fen=525,
        released_fen=1_050,
        outcome="completed",
        postings=(Posting(HELD, -1_575), Posting("revenue", 525), Posting(SPENDS, 1_050)),
    ),
    CodeIssued(
        code_id=CODE,
        batch_id=BATCH,
        hint="OWL-ABCD-****-****",
        sealed="AAECAwQF",
        amount_fen=10_000,
        max_uses=3,
        expires_at=AT,
        description="新用户充值码",
    ),
    CodeRedeemed(
        code_id=CODE, record_id=RECORD, user_id=USER, amount_fen=10_000, redeemed_at=AT
    ),
    CodeRevoked(code_id=CODE),
    CodeRevealed(code_id=CODE),
)

TASKS: Final[tuple[Fact, ...]] = (
    TaskSubmitted(
        task_id=TASK,
        user_id=USER,
        title="视频分析任务",
        task_type="video_analysis",
        description="分析视频内容",
        priority=2,
        estimated_duration_min=30,
        config={"video_url": "https://example.com/video.mp4", "analysis_type": "content"},
        price_fen_per_minute=105,
        hold_fen=3_150,
        timeout_s=1_800,
    ),
    TaskSubmittedInClear(
        task_id=TASK,
        user_id=USER,
        title="视频分析任务",
        task_type="video_analysis",
        description="分析视频内容",
        priority=2,
        estimated_duration_min=30,
        config={"video_url": "https://example.com/video.mp4", "analysis_type": "content"},
        price_fen_per_minute=105,
        hold_fen=3_150,
        timeout_s=1_800,
    ),
    TaskAssigned(
        task_id=TASK,
        user_id=USER,
        attempt=1,
        server_id=SERVER,
        task_type="video_analysis",
        config={"video_url": "https://example.com/video.mp4"},
        timeout_s=1_800,
        gpu_uuids=(GPU,),
        why={"candidates": 2, "waited_s": 1.5},
        assigned_at=AT,
    ),
    TaskStarted(task_id=TASK, attempt=1, server_id=SERVER, started_at=AT),
    TaskProgressed(task_id=TASK, attempt=1, progress=45.5, note="第2个场景"),
    TaskCancelRequested(
        task_id=TASK,
        attempt=1,
        server_id=SERVER,
        reason="cancelled_by_user",
        requested_at=AT,
    ),
    TaskCompleted(
        task_id=TASK,
        user_id=USER,
        attempt=1,
        server_id=SERVER,
        run_ms=300_000,
        cost_fen=525,
        finished_at=AT,
        result={"scenes": [{"start_s": 0.0}]},
        artifacts=(
            Artifact(
                name="scene-1.jpg",
                size_bytes=2_048,
                sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                media_type="image/jpeg",
            ),
        ),
    ),
    TaskFailed(
        task_id=TASK,
        user_id=USER,
        attempt=1,
        reason="user_error",
        run_ms=1_000,
        cost_fen=2,
        finished_at=AT,
        server_id=SERVER,
        error_message="文件不存在",
    ),
    TaskCancelled(
        task_id=TASK,
        user_id=USER,
        attempt=1,
        reason="cancelled_by_admin",
        run_ms=1_000,
        cost_fen=2,
        finished_at=AT,
        server_id=SERVER,
    ),
    TaskRequeued(
        task_id=TASK,
        user_id=USER,
        attempt=2,
        reason="agent_refused",
        lost_server_id=SERVER,
        counted=False,
    ),
    TaskRetried(
        task_id=TASK,
        user_id=USER,
        attempt=3,
        price_fen_per_minute=105,
        hold_fen=1_050,
        timeout_s=3_600,
        priority=5,
        gpu_memory_mib=8_192,
        wants_files=True,
    ),
    TaskDeleted(task_id=TASK, user_id=USER),
    StaleReportRefused(
        task_id=TASK, attempt=1, current_attempt=2, server_id=SERVER, report="completed"
    ),
)

FLEET: Final[tuple[Fact, ...]] = (
    ServerRegistered(
        server_id=SERVER,
        name="GPU-Server-01",
        max_concurrent_tasks=4,
        token_digest="2c26b46b68ffc68f",
        token_expires_at=AT,
    ),
    EnrolmentTokenIssued(
        server_id=SERVER, token_digest="fcde2b2edba56bf4", token_expires_at=AT
    ),
    ServerEnrolled(server_id=SERVER, public_key="UABC", host="gpu01"),
    ServerCameOnline(
        server_id=SERVER,
        boot_id=BOOT,
        seen_at=AT,
        agent_version="0.10.0",
        host="gpu01",
        cpu_count=16,
        memory_total_mib=65_536,
        gpus=(
            GpuInventory(
                index=0, uuid=GPU, name="GPU", memory_total_mib=24_576, simulated=True
            ),
        ),
        simulated=True,
        serves_files=True,
    ),
    ServerWentOffline(server_id=SERVER, last_seen_at=AT, reason="stopped"),
    GpuFailed(server_id=SERVER, gpu_uuid=GPU, detail="Xid 79"),
    GpuRecovered(server_id=SERVER, gpu_uuid=GPU),
    ServerDrained(server_id=SERVER),
    ServerResumed(server_id=SERVER),
    ServerChanged(server_id=SERVER, name="GPU-Server-02", max_concurrent_tasks=8),
    ServerRemoved(server_id=SERVER),
)

SYSTEM: Final[tuple[Fact, ...]] = (
    ConfigurationChanged(before={"maintenance_mode": False}, after={"maintenance_mode": True}),
    ReadModelSwitched(
        read_model="tasks",
        before_generation=1,
        after_generation=2,
        at_position=1_000,
        checksum="c0ffee",
    ),
    ReadModelActAsked(
        read_model="tasks", act="rebuild", switching="manual", max_load=0.5, workers=2
    ),
    ReadModelActBegun(read_model="tasks", act="switch"),
    ReadModelActRefused(read_model="tasks", act="rollback", reason="nothing is kept"),
    RebuildStarted(
        read_model="tasks", generation=2, from_position=500, upto=1_000, max_load=0.5
    ),
    RebuildPaused(read_model="tasks"),
    RebuildCancelled(read_model="tasks"),
    RebuildFailed(read_model="tasks", reason="position 700 cannot be folded"),
    ReadModelResumed(read_model="tasks", stopped_at=700),
    ReadModelVerified(
        read_model="tasks",
        live_generation=1,
        other_generation=2,
        at_position=1_000,
        checksum="c0ffee",
        differing=("task_counts",),
    ),
    ReadModelRolledBack(
        read_model="tasks", before_generation=2, after_generation=1, at_position=1_000
    ),
    KeptGenerationDropped(read_model="tasks", generations=(1,)),
    LogKeyRotated(note="owl-log-key-rotation/1\nafter 700\n…\n\n— owl …\n— owl …\n"),
)

ACCESSES: Final[tuple[Fact, ...]] = (
    AuditAccessed(
        user_id=USER,
        asked="/api/audit/events?from=100&type=wallet.%2A",
        after=99,
        until=1_000,
    ),
    AuditTailEnded(user_id=USER, upto=1_000, sent=12, reason="left"),
    LogRead(user_id=USER, asked="/api/logs/system?level=ERROR", search="爱丽丝"),
    PersonReported(user_id=USER),
    LoginRefused(
        account=CLAIM,
        address=RECORD,
        reason="wrong_password",
        user_id=USER,
        closed_until=AT,
        untold=3,
    ),
)

TELEMETRY: Final[tuple[Fact, ...]] = (
    HeartbeatReceived(
        server_id=SERVER,
        boot_id=BOOT,
        sequence=7,
        sent_at=AT,
        host=HostSample(
            cpu_percent=45.2,
            cpu_count=16,
            memory_percent=68.3,
            memory_total_mib=65_536,
            disk_free_mib=100_000,
            load_1m=1.5,
        ),
        gpus=(
            GpuSample(
                index=0,
                uuid=GPU,
                name="GPU",
                usage_percent=85.5,
                memory_used_mib=10_445,
                memory_total_mib=24_576,
                temperature_c=61.0,
                power_w=220.5,
                power_limit_w=300.0,
                encoder_percent=0.0,
                decoder_percent=12.0,
                healthy=False,
                fault="Xid 79",
                simulated=True,
            ),
        ),
        running=(RunningTask(task_id=TASK, attempt=1, progress=45.5, gpu_uuids=(GPU,)),),
        draining=True,
        simulated=True,
        late=True,
    ),
    TaskOutputReceived(
        task_id=TASK,
        attempt=1,
        sequence=3,
        server_id=SERVER,
        lines=(OutputLine(at=AT, level="INFO", text="第2个场景"),),
    ),
)

SAMPLES: Final[tuple[Fact, ...]] = (
    *ACCOUNTS,
    *MONEY,
    *TASKS,
    *FLEET,
    *SYSTEM,
    *ACCESSES,
    *TELEMETRY,
)
