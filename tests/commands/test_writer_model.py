"""Random programs over two writers end as a naive bank does, one command at a time."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from uuid import UUID, uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from commands.writer import Writer, WriterConfig
from domain.errors import Refused
from domain.ports import UnitOfWork
from domain.wallet.events import AccountRecharged
from domain.wallet.wallet import WALLET
from tests.commands.accounting import context, credited, opened, writing

ACCOUNTS = 3
LIMIT_FEN = 6


class Move(Struct, frozen=True, kw_only=True):
    """Take from one account what goes to another; ``None`` is the world outside."""

    source: UUID | None
    target: UUID
    amount_fen: int


class Short(Refused):
    """The source has not enough, or the target would have too much."""


def move(command: Move, work: UnitOfWork) -> int:
    target = work.load(WALLET, command.target)
    if command.source is not None:
        source = work.load(WALLET, command.source)
        if source.state.available_fen < command.amount_fen:
            raise Short
        source.append(credited(command.source, -command.amount_fen))
    target.append(credited(command.target, command.amount_fen))
    if target.state.available_fen > LIMIT_FEN:
        raise Short  # after appending: nothing of it may remain
    return target.state.available_fen


amounts = st.integers(1, 3)
accounts = st.integers(0, ACCOUNTS - 1)
moves = st.tuples(st.none() | accounts, accounts, amounts, st.integers(0, 1))
programs = st.lists(st.lists(moves, min_size=1, max_size=12), max_size=5)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(program=programs)
def test_any_program_ends_as_if_its_commands_had_run_one_by_one(
    database_url: str, program: list[list[tuple[int | None, int, int, int]]]
) -> None:
    ids = [uuid4() for _ in range(ACCOUNTS)]

    async def attempt(writer: Writer, command: Move) -> int:
        try:
            return (await writer.run(move, command, context())).position
        except Short:
            return 0

    async def run() -> int:
        config = WriterConfig(states_kept=4, round_max=5)
        done = 0
        async with (
            writing(database_url, config=config) as one,
            writing(database_url, config=config) as two,
        ):
            for together in program:
                runs = [
                    attempt(
                        (one, two)[which],
                        Move(
                            source=None if source is None else ids[source],
                            target=ids[target],
                            amount_fen=amount,
                        ),
                    )
                    for source, target, amount, which in together
                ]
                positions = [position for position in await asyncio.gather(*runs) if position]
                assert len(set(positions)) == len(positions)
                done += len(positions)
        return done

    done = asyncio.run(run())
    with opened(database_url) as log:
        events = log.read_streams(ids)
    by_command: defaultdict[UUID, list[AccountRecharged]] = defaultdict(list)
    for event in events:
        by_command[event.command_id].append(event.fact)
    assert len(by_command) == done
    balances = dict.fromkeys(ids, 0)
    for facts in by_command.values():  # in the log's order
        for fact in facts:
            balances[fact.user_id] += fact.amount_fen
        assert all(0 <= balance <= LIMIT_FEN for balance in balances.values())
