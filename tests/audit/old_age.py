"""Entities that grow old: years of logins and money of a user, of a server, of a code."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from uuid import UUID

from domain.accounts.events import UserLoggedIn
from domain.facts import Fact
from domain.fleet.events import GpuFailed, GpuRecovered, ServerWentOffline
from domain.ids import account_stream
from domain.money import REVENUE, available, held, transfer
from domain.tasks.events import TaskProgressed
from domain.wallet.events import HoldSettled
from tests.domain.cast import (
    ALICE,
    CODE_ID,
    GPU,
    NOON,
    OTHER_SERVER,
    TASK_ID,
    assigned,
    came_online,
    hold_placed,
    issued,
    recharged,
    redeemed,
    registered,
    server_enrolled,
    server_registered,
    started,
    submitted,
)

ACCOUNT = account_stream(ALICE)
SERVER = OTHER_SERVER
USES_MAX = 10_000


def ageing() -> Iterator[tuple[UUID, Fact]]:
    """Streams and facts, without end: at first what begins each of them."""
    yield ALICE, registered()
    yield ACCOUNT, recharged(10**9)
    yield CODE_ID, issued(max_uses=USES_MAX)
    yield SERVER, server_registered(server_id=SERVER)
    yield SERVER, server_enrolled(server_id=SERVER)
    for fact in (submitted(), assigned(), started()):
        yield TASK_ID, fact
    for number, said in enumerate(cycle((40.0, 60.0))):
        task = UUID(int=(5 << 64) + number)
        yield SERVER, came_online(server_id=SERVER, boot_id=UUID(int=number))
        yield ALICE, UserLoggedIn(user_id=ALICE, address=f"enc1:{number}")
        yield ACCOUNT, hold_placed(105, task_id=task)
        yield SERVER, GpuFailed(server_id=SERVER, gpu_uuid=GPU, detail="")
        yield TASK_ID, TaskProgressed(task_id=TASK_ID, attempt=1, progress=said)
        for use in range(3 * number, min(3 * number + 3, USES_MAX)):
            yield CODE_ID, redeemed(user_id=UUID(int=use), record_id=UUID(int=use))
        yield SERVER, GpuRecovered(server_id=SERVER, gpu_uuid=GPU)
        yield (
            ACCOUNT,
            HoldSettled(
                user_id=ALICE,
                task_id=task,
                attempt=1,
                charged_fen=5,
                released_fen=100,
                outcome="completed",
                postings=transfer(5, source=held(ALICE), target=REVENUE)
                + transfer(100, source=held(ALICE), target=available(ALICE)),
            ),
        )
        yield SERVER, ServerWentOffline(server_id=SERVER, last_seen_at=NOON)
