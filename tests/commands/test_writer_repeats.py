"""A client may repeat a command: it happens once, and the answer is the one it got then."""

from __future__ import annotations

import asyncio
from datetime import datetime
from uuid import UUID, uuid4

import psycopg
import pytest
from msgspec import Struct

from commands.team_lease import TeamLease
from domain.envelope import Context, Fence
from domain.errors import IdempotencyMismatch
from domain.ports import FencedOff, UnitOfWork
from domain.wallet.wallet import WALLET
from tests.commands.accounting import (
    NOON,
    Credit,
    Peek,
    TooRich,
    context,
    credit,
    credited,
    opened,
    peek,
    writing,
)

pytestmark = pytest.mark.anyio


class Report(Struct, frozen=True):
    """A receipt with fields that JSON has no types for."""

    account: UUID
    at: datetime
    balance_fen: int


def credit_and_report(command: Credit, work: UnitOfWork) -> Report:
    return Report(command.account, NOON, credit(command, work))


async def test_a_repeated_command_gets_the_same_answer_and_happens_once(
    database_url: str,
) -> None:
    command, command_id = Credit(account=uuid4(), amount_fen=7), uuid4()
    async with writing(database_url) as writer:
        asked = context(command_id=command_id, digest=b"d")
        first = await writer.run(credit_and_report, command, asked)
        again = await writer.run(credit_and_report, command, asked)
    async with writing(database_url) as elsewhere:
        there = await elsewhere.run(credit_and_report, command, asked)
    assert first.result == Report(command.account, NOON, 7)
    assert (again.result, again.position) == (first.result, first.position)
    assert (first.replay_of, again.replay_of) == (None, command_id)
    assert first.recorded_at == again.recorded_at
    assert there == again
    with opened(database_url) as log:
        assert [event.command_id for event in log.find_command(command_id)] == [command_id]


async def test_the_position_of_a_receipt_is_that_of_its_own_last_event(
    database_url: str,
) -> None:
    asked = [context(digest=b"d") for _ in range(20)]
    async with writing(database_url) as writer:

        async def run_all() -> list[tuple[int, int]]:
            runs = [writer.run(credit, Credit(account=uuid4()), each) for each in asked]
            return [(done.result, done.position) for done in await asyncio.gather(*runs)]

        assert await run_all() == await run_all()


async def test_the_same_key_with_another_request_is_refused(database_url: str) -> None:
    command, command_id = Credit(account=uuid4()), uuid4()
    async with writing(database_url) as writer:
        await writer.run(credit, command, context(command_id=command_id, digest=b"one"))
        with pytest.raises(IdempotencyMismatch):
            await writer.run(credit, command, context(command_id=command_id, digest=b"two"))


async def test_a_key_that_was_forgotten_means_another_command(database_url: str) -> None:
    account, key_id = uuid4(), uuid4()

    def asked() -> Context:
        return context(digest=b"d", key_id=key_id)

    async with writing(database_url) as writer:
        first = await writer.run(credit, Credit(account=account), asked())
        again = await writer.run(credit, Credit(account=account), asked())
        with psycopg.connect(database_url) as connection:
            connection.execute("DELETE FROM owl_private.receipts")
        anew = await writer.run(credit, Credit(account=account), asked())
    assert [done.result for done in (first, again, anew)] == [1, 1, 2]
    assert anew.replay_of is None


async def test_equal_commands_at_once_happen_once_through_one_writer_or_several(
    database_url: str,
) -> None:
    command, asked = Credit(account=uuid4()), context(digest=b"d")
    async with writing(database_url) as one, writing(database_url) as two:
        runs = [writer.run(credit, command, asked) for writer in (one, two) * 5]
        done = await asyncio.gather(*runs)
    assert {(committed.result, committed.position) for committed in done} == {(1, 1)}
    assert sum(committed.replay_of is None for committed in done) == 1


async def test_a_repeatable_command_without_events_keeps_its_answer_too(
    database_url: str,
) -> None:
    account, asked = uuid4(), context(digest=b"d")
    async with writing(database_url) as writer:
        first = await writer.run(peek, Peek(account=account), asked)
        await writer.run(credit, Credit(account=account), context())
        again = await writer.run(peek, Peek(account=account), asked)
    assert (first.result, again.result, again.position) == (0, 0, 0)


async def test_a_refused_command_may_be_repeated_and_is_decided_anew(database_url: str) -> None:
    account, asked = uuid4(), context(digest=b"d")

    def spend(command: Peek, work: UnitOfWork) -> int:
        wallet = work.load(WALLET, command.account)
        if not wallet.version:
            raise TooRich
        wallet.append(credited(command.account))
        return wallet.version

    async with writing(database_url) as writer:
        with pytest.raises(TooRich):
            await writer.run(spend, Peek(account=account), asked)
        await writer.run(credit, Credit(account=account), context())
        assert (await writer.run(spend, Peek(account=account), asked)).result == 2


async def test_a_commit_under_a_lease_that_is_held_goes_through(database_url: str) -> None:
    lease = TeamLease(database_url, "scheduler", "me")
    fence = await lease.acquire()
    assert fence == Fence("scheduler", 1)
    async with writing(database_url) as writer:
        await writer.run(credit, Credit(account=uuid4()), context(fence=fence))
        assert await lease.renew(fence)
        await writer.run(credit, Credit(account=uuid4()), context(fence=fence))
    await lease.release(fence)


async def test_a_commit_under_a_lost_lease_is_fenced_off_and_hurts_no_other(
    database_url: str,
) -> None:
    mine = TeamLease(database_url, "scheduler", "me", ttl_s=0)
    theirs = TeamLease(database_url, "scheduler", "them")
    old = await mine.acquire()
    assert old is not None
    new = await theirs.acquire()
    assert new == Fence("scheduler", 2)
    account = uuid4()
    async with writing(database_url) as writer:
        command = Credit(account=account)
        contexts = [context(fence=old), context(), context(fence=new), context(fence=old)]
        runs = [writer.run(credit, command, each) for each in contexts]
        done = await asyncio.gather(*runs, return_exceptions=True)
        assert [isinstance(outcome, FencedOff) for outcome in done] == [
            True,
            False,
            False,
            True,
        ]
    with opened(database_url) as log:
        assert log.heads([account]) == {account: 2}
    assert not await mine.renew(old)
    await mine.close()
    await theirs.release(new)


async def test_a_lease_has_one_holder_until_it_is_released_or_overdue(
    database_url: str,
) -> None:
    one, two = (TeamLease(database_url, "leader", name, ttl_s=30) for name in ("one", "two"))
    fence = await one.acquire()
    assert fence is not None
    assert await two.acquire() is None
    await one.release(fence)
    taken = await two.acquire()
    assert taken == Fence("leader", 2)
    async with writing(database_url) as writer:
        with pytest.raises(FencedOff):
            await writer.run(credit, Credit(account=uuid4()), context(fence=fence))
    await two.release(taken)


async def test_a_holder_that_was_restarted_leaves_nothing_to_what_it_was_before(
    database_url: str,
) -> None:
    before, after = (TeamLease(database_url, "leader", "me", ttl_s=30) for _ in range(2))
    old = await before.acquire()
    assert old is not None
    new = await after.acquire()
    assert new == Fence("leader", 2)
    assert not await before.renew(old)
    await before.release(old)
    assert await after.renew(new)
    await after.release(new)
