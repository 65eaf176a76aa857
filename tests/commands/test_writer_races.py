"""Several writers on one database: conflicts are decided again, refusals hold."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec import Struct

from commands.recharge import IssueCodes, NewCode, RedeemCode, issue_codes, redeem_code
from commands.writer import Writer, WriterConfig
from domain.errors import Refused
from domain.ids import account_stream
from domain.ports import UnitOfWork
from domain.recharge.code import CODE
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


async def test_a_conflict_is_decided_again_on_what_the_other_has_written(
    database_url: str,
) -> None:
    command = Credit(account=uuid4())
    async with writing(database_url) as one, writing(database_url) as two:
        results = [
            (await writer.run(credit, command, context())).result
            for writer in (one, two, one, one, two)
        ]
    assert results == [1, 2, 3, 4, 5]


async def test_writers_that_fight_over_one_stream_lose_nothing(database_url: str) -> None:
    command = Credit(account=uuid4())
    async with writing(database_url) as one, writing(database_url) as two:
        runs = [writer.run(credit, command, context()) for writer in (one, two) * 60]
        done = await asyncio.gather(*runs)
    assert sorted(committed.result for committed in done) == list(range(1, 121))


async def test_a_refusal_on_a_stale_state_is_decided_again_before_it_is_given(
    database_url: str,
) -> None:
    account = uuid4()

    def spend(command: Peek, work: UnitOfWork) -> int:
        wallet = work.load(WALLET, command.account)
        if wallet.state.available_fen < 2:
            raise TooRich("not enough, as far as this process knows")
        return wallet.state.available_fen

    async with writing(database_url) as one, writing(database_url) as two:
        await one.run(credit, Credit(account=account), context())
        with pytest.raises(TooRich):
            await one.run(spend, Peek(account=account), context())
        await two.run(credit, Credit(account=account), context())
        assert (await one.run(spend, Peek(account=account), context())).result == 2


async def test_a_handler_that_stumbles_over_a_stale_state_is_decided_again(
    database_url: str,
) -> None:
    account = uuid4()

    def rely(command: Peek, work: UnitOfWork) -> int:
        wallet = work.load(WALLET, command.account)
        return {2: 2}[wallet.state.available_fen]  # what the caller knows to be so by now

    async with writing(database_url) as one, writing(database_url) as two:
        await one.run(credit, Credit(account=account), context())
        with pytest.raises(KeyError):
            await one.run(rely, Peek(account=account), context())
        await two.run(credit, Credit(account=account), context())
        assert (await one.run(rely, Peek(account=account), context())).result == 2


async def test_an_answer_without_events_is_never_stale(database_url: str) -> None:
    account = uuid4()
    async with writing(database_url) as one, writing(database_url) as two:
        for expected in range(1, 6):
            await one.run(credit, Credit(account=account), context())
            assert (await two.run(peek, Peek(account=account), context())).result == expected


class CreditIfEmpty(Struct, frozen=True, kw_only=True):
    """Credit an account while another one is empty."""

    account: UUID
    other: UUID


def credit_if_empty(command: CreditIfEmpty, work: UnitOfWork) -> None:
    if work.load(WALLET, command.other).version:
        raise TooRich
    work.load(WALLET, command.account).append(credited(command.account))


async def test_a_stream_that_was_only_read_is_checked_at_the_commit(database_url: str) -> None:
    """Each may be credited only while the other is empty: write skew would let both."""
    async with writing(database_url) as one, writing(database_url) as two:
        for _ in range(10):
            a, b = uuid4(), uuid4()
            for writer in (one, two):  # both know both streams as empty
                await writer.run(peek, Peek(account=a), context())
                await writer.run(peek, Peek(account=b), context())
            done = await asyncio.gather(
                one.run(credit_if_empty, CreditIfEmpty(account=a, other=b), context()),
                two.run(credit_if_empty, CreditIfEmpty(account=b, other=a), context()),
                return_exceptions=True,
            )
            assert sum(isinstance(outcome, TooRich) for outcome in done) == 1


async def test_a_command_that_always_loses_is_decided_alone_and_wins(database_url: str) -> None:
    account = uuid4()
    attempts = 0

    async with writing(database_url) as rival, writing(database_url) as writer:
        loop = asyncio.get_running_loop()
        interfering: list[asyncio.Task[Any]] = []

        def credit_late(command: Credit, work: UnitOfWork) -> int:
            nonlocal attempts
            attempts += 1
            if attempts <= 5:
                run = rival.run(credit, command, context())
                interfering.append(loop.create_task(run))
            return credit(command, work)

        await writer.run(credit, Credit(account=account), context())
        committed = await writer.run(credit_late, Credit(account=account), context())
        await asyncio.gather(*interfering)
    with opened(database_url) as log:
        assert log.heads([account])[account] == 2 + len(interfering)
    assert committed.position > 0


async def issue(writer: Writer, codes: list[UUID], *, max_uses: int) -> None:
    command = IssueCodes(
        batch_id=uuid4(),
        codes=tuple(NewCode(code, "••••", "sealed") for code in codes),
        amount_fen=100,
        max_uses=max_uses,
        expires_at=NOON + timedelta(days=1),
        description="",
        at=NOON,
    )
    await writer.run(issue_codes, command, context())


async def test_codes_raced_by_users_through_two_writers_are_redeemed_exactly(
    database_url: str,
) -> None:
    codes, users, max_uses = [uuid4() for _ in range(20)], [uuid4() for _ in range(8)], 3
    async with writing(database_url) as one, writing(database_url) as two:
        await issue(one, codes, max_uses=max_uses)

        async def redeem(writer: Writer, code: UUID, user: UUID) -> bool:
            command = RedeemCode(code_id=code, user_id=user, record_id=uuid4(), at=NOON)
            try:
                await writer.run(redeem_code, command, context())
            except Refused:
                return False
            return True

        attempts = [
            (writer, code, user) for code in codes for user in users for writer in (one, two)
        ]
        done = await asyncio.gather(*(redeem(*attempt) for attempt in attempts))
    assert sum(done) == len(codes) * max_uses
    with opened(database_url) as log:
        states = [CODE.fold(e.fact for e in log.read_streams([code])) for code in codes]
        balances = [
            WALLET.fold(e.fact for e in log.read_streams([account_stream(user)])).balance_fen
            for user in users
        ]
    assert all(state is not None and len(state.redeemed_by) == max_uses for state in states)
    assert sum(balances) == 100 * sum(done)


async def test_small_rounds_change_nothing_but_speed(database_url: str) -> None:
    command = Credit(account=uuid4())
    async with writing(database_url, config=WriterConfig(round_max=1)) as writer:
        done = await asyncio.gather(
            *(writer.run(credit, command, context()) for _ in range(20))
        )
    assert [committed.result for committed in done] == list(range(1, 21))
