"""The writer's promises, one writer on one database."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from msgspec import Struct

from commands.event_log.failures import Unreadable
from commands.rows import Credential, SubjectKey
from commands.writer import Writer, WriterConfig
from domain.accounts.events import UserLoggedIn, UserRegistered
from domain.accounts.user import USER
from domain.errors import InvalidState
from domain.ports import OutOfReach, UnitOfWork
from domain.wallet.wallet import WALLET
from tests.commands.accounting import (
    Credit,
    Peek,
    TooRich,
    clock,
    context,
    credit,
    credited,
    opened,
    peek,
    random_key,
    writing,
)

pytestmark = pytest.mark.anyio

OF_A_LATER_PROGRAM = """
    INSERT INTO owl_log.events VALUES (1, %s, 1, 'wallet.account_frozen/1',
        '{"type": "wallet.account_frozen/1"}', now(), 'system:x', gen_random_uuid(), 'x')
"""


class Failing(Struct, frozen=True, kw_only=True):
    """A command with a defect in its handler."""

    account: UUID


class Passing(Struct, frozen=True, weakref=True):
    """A command that leaves nothing behind."""

    account: UUID


def pass_by(command: Passing, work: UnitOfWork) -> None:
    work.load(WALLET, command.account)


def fail(command: Failing, work: UnitOfWork) -> None:
    work.load(WALLET, command.account).append(credited(command.account))
    raise ZeroDivisionError


class Transfer(Struct, frozen=True, kw_only=True):
    """A command over several streams."""

    accounts: tuple[UUID, ...]

    def streams(self) -> tuple[UUID, ...]:
        return self.accounts


def credit_all(command: Transfer, work: UnitOfWork) -> list[int]:
    """Returns the versions."""
    wallets = [work.load(WALLET, account) for account in command.accounts]
    for wallet, account in zip(wallets, command.accounts, strict=True):
        wallet.append(credited(account), credited(account))
    return [wallet.version for wallet in wallets]


async def test_a_receipt_tells_the_result_and_the_position_of_the_last_event(
    database_url: str,
) -> None:
    async with writing(database_url) as writer:
        account = uuid4()
        first = await writer.run(credit, Credit(account=account, amount_fen=5), context())
        assert (first.result, first.position, first.replay_of) == (5, 1, None)
        both = Transfer(accounts=(account, uuid4()))
        second = await writer.run(credit_all, both, context())
        assert (second.result, second.position) == ([3, 2], 5)


async def test_what_appends_nothing_has_position_zero(database_url: str) -> None:
    async with writing(database_url) as writer:
        seen = await writer.run(peek, Peek(account=uuid4()), context())
        assert (seen.result, seen.position) == (0, 0)


async def test_commands_that_wait_together_see_each_other(database_url: str) -> None:
    account = uuid4()
    async with writing(database_url) as writer:
        command = Credit(account=account)
        done = await asyncio.gather(
            *(writer.run(credit, command, context()) for _ in range(300))
        )
    assert sorted(committed.result for committed in done) == list(range(1, 301))
    assert sorted(committed.position for committed in done) == list(range(1, 301))


async def test_the_disk_has_the_first_half_while_the_second_is_decided(
    database_url: str,
) -> None:
    account = uuid4()
    async with writing(database_url) as writer:
        for waiting, rounds in ((64, 1), (100, 3), (256, 5)):
            command = Credit(account=account)
            await asyncio.gather(
                *(writer.run(credit, command, context()) for _ in range(waiting))
            )
            assert writer.counts.rounds == rounds
        assert writer.counts.commands == 64 + 100 + 256


async def test_what_was_answered_is_let_go_of_at_once(database_url: str) -> None:
    async with writing(database_url) as writer:
        command = Passing(account=uuid4())
        seen = weakref.ref(command)
        await writer.run(pass_by, command, context())
        assert seen() is command
        del command
        assert seen() is None


async def test_a_refused_command_leaves_no_trace_and_hurts_no_other(database_url: str) -> None:
    account = uuid4()
    async with writing(database_url) as writer:
        command = Credit(account=account, limit_fen=3)
        runs = [writer.run(credit, command, context()) for _ in range(10)]
        done = await asyncio.gather(*runs, return_exceptions=True)
        assert sum(isinstance(outcome, TooRich) for outcome in done) == 7
    with opened(database_url) as log:
        assert log.heads([account]) == {account: 3}
        assert log.feed().head() == 3


async def test_a_handler_that_crashes_fails_alone(database_url: str) -> None:
    account = uuid4()
    async with writing(database_url) as writer:
        good = [writer.run(credit, Credit(account=account), context()) for _ in range(5)]
        bad = writer.run(fail, Failing(account=account), context())
        *done, failed = await asyncio.gather(*good, bad, return_exceptions=True)
        assert isinstance(failed, ZeroDivisionError)
        assert [getattr(committed, "result", None) for committed in done] == [1, 2, 3, 4, 5]


async def test_what_the_server_refuses_to_store_fails_alone(database_url: str) -> None:
    account = uuid4()
    poisoned = context()
    poisoned = type(poisoned)(
        command_id=uuid4(), actor=poisoned.actor, correlation_id="no\x00text"
    )
    async with writing(database_url) as writer:
        contexts = [context(), poisoned, context()]
        runs = [writer.run(credit, Credit(account=account), each) for each in contexts]
        first, bad, last = await asyncio.gather(*runs, return_exceptions=True)
        assert isinstance(bad, Exception)
        assert not isinstance(bad, OutOfReach)
        assert {getattr(done, "result", None) for done in (first, last)} == {1, 2}


async def test_a_stream_said_to_be_new_is_refused_when_it_exists(database_url: str) -> None:
    def begin(command: Credit, work: UnitOfWork) -> None:
        work.create(WALLET, command.account).append(credited(command.account))

    command = Credit(account=uuid4())
    async with writing(database_url) as writer:
        await writer.run(begin, command, context())
        with pytest.raises(InvalidState):
            await writer.run(begin, command, context())
    async with writing(database_url) as stranger:  # knows nothing: the commit finds out
        with pytest.raises(InvalidState):
            await stranger.run(begin, command, context())


async def test_rows_are_kept_in_the_commit_of_their_command(database_url: str) -> None:
    user_id, claim = uuid4(), uuid4()

    def register(_command: Peek, work: UnitOfWork) -> None:
        work.keep(SubjectKey(user_id=user_id, key=random_key()))
        work.keep(
            Credential(
                user_id=user_id,
                email_claim=claim,
                password_hash="hash",
                token_version=1,
                role="user",
                is_active=True,
            )
        )
        user = work.create(USER, user_id)
        user.append(
            UserRegistered(user_id=user_id, email="a@b.cn", username="阿", full_name="猫头鹰")
        )

    def log_in(_command: Peek, work: UnitOfWork) -> Any:
        user = work.load(USER, user_id)
        user.append(UserLoggedIn(user_id=user_id, address="10.0.0.1"))
        return user.version

    async with writing(database_url) as writer:
        await writer.run(register, Peek(account=user_id), context())
        assert (await writer.run(log_in, Peek(account=user_id), context())).result == 2
    async with writing(database_url) as stranger:  # has to read the key first
        assert (await stranger.run(log_in, Peek(account=user_id), context())).result == 3
    with opened(database_url) as log:
        facts = [event.fact for event in log.feed().read(0, 10)]
        assert facts[0].full_name == "猫头鹰"
        assert [fact.address for fact in facts[1:]] == ["10.0.0.1", "10.0.0.1"]


async def test_a_row_without_a_table_fails_its_command(database_url: str) -> None:
    def keep(command: Peek, work: UnitOfWork) -> None:
        work.keep(command)

    async with writing(database_url) as writer:
        with pytest.raises(TypeError, match="no table for a Peek"):
            await writer.run(keep, Peek(account=uuid4()), context())


async def test_states_that_were_forgotten_are_read_again(database_url: str) -> None:
    accounts = [uuid4() for _ in range(30)]
    async with writing(database_url, config=WriterConfig(states_kept=4)) as writer:
        for expected in (1, 2, 3):
            runs = [writer.run(credit, Credit(account=a), context()) for a in accounts]
            done = await asyncio.gather(*runs)
            assert [committed.result for committed in done] == [expected] * 30


async def test_readers_of_the_process_see_commits_without_asking_the_database(
    database_url: str,
) -> None:
    with opened(database_url) as log:
        feed = log.feed()
        assert feed.read(0, 10) == []
        async with Writer(log, clock) as writer:
            await writer.run(credit, Credit(account=uuid4(), amount_fen=2), context())
            await writer.run(credit, Credit(account=uuid4(), amount_fen=3), context())
        held = log.ring.after(0, 10)
        with opened(database_url) as stranger:
            assert list(stranger.feed().read(0, 10)) == held
    assert [event.fact.amount_fen for event in held] == [2, 3]


async def test_a_stream_that_cannot_be_read_hurts_only_those_who_ask_for_it(
    database_url: str,
) -> None:
    strange, plain = uuid4(), uuid4()
    with psycopg.connect(database_url) as connection:
        connection.execute(OF_A_LATER_PROGRAM, [strange])
    async with writing(database_url) as writer:
        runs = [writer.run(credit, Credit(account=a), context()) for a in (strange, plain)]
        failed, done = await asyncio.gather(*runs, return_exceptions=True)
        assert isinstance(failed, Unreadable)
        assert getattr(done, "result", None) == 1
        with pytest.raises(Unreadable):
            await writer.run(credit, Credit(account=strange), context())


async def test_a_writer_that_closes_lets_its_commands_end(database_url: str) -> None:
    async with writing(database_url) as writer:
        run = asyncio.create_task(writer.run(credit, Credit(account=uuid4()), context()))
        await asyncio.sleep(0)
    assert (await run).result == 1
    with pytest.raises(OutOfReach):
        await writer.run(credit, Credit(account=uuid4()), context())


async def test_more_commands_than_may_wait_are_turned_away(database_url: str) -> None:
    async with writing(database_url, config=WriterConfig(waiting_max=5)) as writer:
        runs = [writer.run(credit, Credit(account=uuid4()), context()) for _ in range(9)]
        done = await asyncio.gather(*runs, return_exceptions=True)
        assert sum(isinstance(outcome, OutOfReach) for outcome in done) == 4


async def test_a_commit_wakes_who_waits_for_it(database_url: str) -> None:
    notified: list[int] = []

    class Heard:
        def notify(self, position: int) -> None:
            notified.append(position)

        async def wait(self, after: int, timeout_s: float) -> int:
            raise NotImplementedError

    async with writing(database_url, committed=Heard()) as writer:
        await writer.run(credit, Credit(account=uuid4()), context())
        await writer.run(peek, Peek(account=uuid4()), context())
    assert notified == [1]
