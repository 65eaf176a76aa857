"""Metering looks after every hold that runs out, however many nobody can pay for."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from msgspec import Struct
from msgspec.structs import replace

from commands.board import Board
from commands.board_reader import BoardReader
from commands.checkpoints import Checkpoints
from commands.metering import Config, Metering
from commands.rows import SubjectKey
from commands.signals import LocalSignal
from commands.team_lease import TeamLease
from commands.writer import Writer
from domain.ids import account_stream
from domain.ports import UnitOfWork
from domain.tasks.task import TASK
from domain.wallet.events import HoldExtended
from domain.wallet.wallet import WALLET, hold, recharge
from tests.commands.accounting import context, opened
from tests.domain.cast import NOON, after, assigned, started, submitted

pytestmark = pytest.mark.anyio

PRICE_FEN_PER_MINUTE = 6_000


class Run(Struct, frozen=True, kw_only=True):
    """A task that runs, and what its user has beside what is held."""

    task_id: UUID
    held_fen: int = 6_000
    spare_fen: int = 0

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (account_stream(self.task_id),)


def let_run(run: Run, work: UnitOfWork) -> None:
    """Have it run."""
    user = run.task_id
    work.keep(SubjectKey(user_id=user, key=bytes(32)))
    order = submitted(task_id=user, user_id=user)
    work.create(TASK, run.task_id).append(
        replace(
            order,
            price_fen_per_minute=PRICE_FEN_PER_MINUTE,
            hold_fen=run.held_fen,
            timeout_s=3_600,
        ),
        assigned(task_id=user, user_id=user, timeout_s=3_600),
        started(task_id=user),
    )
    wallet = work.load(WALLET, account_stream(user))
    amount_fen = run.held_fen + run.spare_fen
    wallet.append(recharge(user_id=user, amount_fen=amount_fen, record_id=user, code_id=user))
    wallet.append(
        hold(
            wallet.state,
            user_id=user,
            task_id=user,
            attempt=1,
            amount_fen=run.held_fen,
            limit=1,
        )
    )


async def test_of_many_holds_that_run_out_each_is_seen_to_and_the_first_to_do_so_first(
    database_url: str,
) -> None:
    late = Run(task_id=uuid4(), held_fen=6_200, spare_fen=100)
    soon = Run(task_id=uuid4(), held_fen=5_800, spare_fen=100)
    unpayable = tuple(Run(task_id=uuid4()) for _ in range(Config().together_max + 40))
    with opened(database_url) as log:
        async with Writer(log, lambda: NOON) as writer:
            for run in (late, *unpayable, soon):
                await writer.run(let_run, run, context())
            lease = TeamLease(database_url, "metering", "me")
            fence = await lease.acquire()
            assert fence is not None
            feed = log.feed()
            reader = BoardReader(Board(), feed, LocalSignal(), Checkpoints(log.conninfo))
            while await reader.step():
                pass
            metering = Metering(reader, writer, clock=lambda: after(50), ids=uuid4)
            assert await metering.step(fence) == len(unpayable) + 2
            await lease.release(fence)
        events = feed.read(reader.board.position, 1_000)
    extended = [event.fact for event in events]
    assert all(isinstance(fact, HoldExtended) for fact in extended)
    assert [fact.task_id for fact in extended] == [soon.task_id, late.task_id]
