"""What a stream is was settled by its first fact: the writer gives it as nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec import Struct

from commands.configuration import (
    ChangeConfiguration,
    ReadConfiguration,
    change_configuration,
    read_configuration,
)
from commands.fleet import (
    EnrolServer,
    NoteServerSilent,
    RegisterServer,
    enrol_server,
    note_server_silent,
    register_server,
)
from commands.task_reports import RecordBegan, record_began
from commands.tasks import CancelTask, RetryTask, cancel_task, retry_task
from commands.writer import Writer, WriterConfig
from domain.decider import Decider
from domain.errors import InvalidState, NotFound
from domain.fleet.events import ServerDrained, ServerRegistered
from domain.fleet.server import SERVER, TokenInvalid
from domain.ids import CONFIGURATION_STREAM
from domain.ports import UnitOfWork
from domain.system.configuration import CONFIGURATION
from domain.tasks.task import TASK
from domain.wallet.wallet import WALLET
from tests.commands.accounting import (
    NOON,
    Credit,
    Peek,
    context,
    credit,
    credited,
    opened,
    peek,
    writing,
)

pytestmark = pytest.mark.anyio


class Look(Struct, frozen=True, kw_only=True):
    """Load a stream as a kind of thing, perhaps to begin it."""

    stream: UUID
    decider: Decider[Any]


def look(command: Look, work: UnitOfWork) -> Any:
    return work.load(command.decider, command.stream).state


def begin(command: Look, work: UnitOfWork) -> None:
    work.create(command.decider, command.stream).append(credited(command.stream))


def enrol(stream: UUID) -> EnrolServer:
    return EnrolServer(server_id=stream, token_digest="d", public_key="U", host="h", at=NOON)


def cancel(stream: UUID) -> CancelTask:
    return CancelTask(task_id=stream, user_id=uuid4(), is_admin=True, at=NOON)


def registered(server_id: UUID) -> RegisterServer:
    return RegisterServer(
        server_id=server_id,
        name="s",
        max_concurrent_tasks=1,
        token_digest="d",
        token_expires_at=NOON,
    )


async def test_a_configuration_that_never_changed_survives_being_asked_for_as_a_server(
    database_url: str,
) -> None:
    async with writing(database_url) as writer:
        for _ in range(2):
            with pytest.raises(TokenInvalid):
                await writer.run(enrol_server, enrol(CONFIGURATION_STREAM), context())
            now = await writer.run(read_configuration, ReadConfiguration(), context())
            assert now.result.configuration.requeue_budget > 0
        change = ChangeConfiguration(changes={"requeue_budget": 1})
        await writer.run(change_configuration, change, context())
        with pytest.raises(TokenInvalid):
            await writer.run(enrol_server, enrol(CONFIGURATION_STREAM), context())
        now = await writer.run(read_configuration, ReadConfiguration(), context())
        assert now.result.configuration.requeue_budget == 1


async def test_an_empty_stream_is_whatever_it_is_asked_for_as(database_url: str) -> None:
    stream = uuid4()
    async with writing(database_url) as writer:
        for decider in (TASK, WALLET, SERVER, WALLET):
            seen = await writer.run(look, Look(stream=stream, decider=decider), context())
            assert seen.result == decider.initial
        assert (await writer.run(credit, Credit(account=stream), context())).result == 1


@pytest.mark.parametrize("states_kept", [4, 50_000])
async def test_a_stream_is_nothing_else_than_what_it_began_as(
    database_url: str, states_kept: int
) -> None:
    account, server = uuid4(), uuid4()
    asked: list[tuple[Callable[[Any, Any], Any], Struct, type[Exception]]] = [
        (cancel_task, cancel(account), NotFound),
        (enrol_server, enrol(account), TokenInvalid),
        (look, Look(stream=server, decider=WALLET), NotFound),
        (look, Look(stream=server, decider=TASK), NotFound),
    ]
    config = WriterConfig(states_kept=states_kept)
    async with writing(database_url, config=config) as warm:
        await warm.run(credit, Credit(account=account), context())
        await warm.run(register_server, registered(server), context())
        for ask in asked * 2:
            await _refused(warm, *ask)
    async with writing(database_url, config=config) as cold:
        for ask in asked * 2:
            await _refused(cold, *ask)
        assert (await cold.run(credit, Credit(account=account), context())).result == 2
        for ask in asked:
            await _refused(cold, *ask)
        assert (await cold.run(peek, Peek(account=account), context())).result == 2
    with opened(database_url) as log:
        assert log.heads([account, server]) == {account: 2, server: 1}


async def test_commands_decided_together_take_a_new_stream_for_what_it_became(
    database_url: str,
) -> None:
    account = uuid4()
    async with writing(database_url) as writer:
        runs = [
            writer.run(credit, Credit(account=account), context()),
            writer.run(cancel_task, cancel(account), context()),
            writer.run(credit, Credit(account=account), context()),
            writer.run(enrol_server, enrol(account), context()),
        ]
        done = await asyncio.gather(*runs, return_exceptions=True)
    assert [getattr(outcome, "result", None) for outcome in done] == [1, None, 2, None]
    assert [type(outcome) for outcome in done[1::2]] == [NotFound, TokenInvalid]


async def test_two_that_grow_a_stream_are_not_confused_by_who_takes_it_for_another(
    database_url: str,
) -> None:
    account = uuid4()
    async with writing(database_url) as one, writing(database_url) as two:
        for expected in range(1, 9, 2):
            done = await one.run(credit, Credit(account=account), context())
            assert done.result == expected
            runs = [
                two.run(cancel_task, cancel(account), context()),
                two.run(credit, Credit(account=account), context()),
                two.run(cancel_task, cancel(account), context()),
            ]
            refused, grown, again = await asyncio.gather(*runs, return_exceptions=True)
            assert isinstance(refused, NotFound)
            assert getattr(grown, "result", None) == expected + 1
            assert isinstance(again, NotFound)


async def test_an_existing_stream_of_another_kind_is_not_begun_anew(database_url: str) -> None:
    server = uuid4()
    async with writing(database_url) as one, writing(database_url) as two:
        await one.run(register_server, registered(server), context())
        for writer in (one, two, two):
            with pytest.raises(InvalidState):
                await writer.run(begin, Look(stream=server, decider=WALLET), context())


async def test_one_command_cannot_have_a_stream_as_two_things(database_url: str) -> None:
    retry = RetryTask(task_id=CONFIGURATION_STREAM, user_id=uuid4(), is_admin=True, at=NOON)
    async with writing(database_url) as writer:
        with pytest.raises(NotFound):
            await writer.run(retry_task, retry, context())
        now = await writer.run(read_configuration, ReadConfiguration(), context())
        assert now.result.configuration == CONFIGURATION.initial


async def test_what_agents_say_of_other_things_is_refused(database_url: str) -> None:
    account = uuid4()
    began = RecordBegan(task_id=account, attempt=1, server_id=uuid4(), at=NOON)
    silent = NoteServerSilent(server_id=account, last_seen_at=NOON)
    async with writing(database_url) as writer:
        await writer.run(credit, Credit(account=account), context())
        with pytest.raises(NotFound):
            await writer.run(record_began, began, context())
        with pytest.raises(NotFound):
            await writer.run(note_server_silent, silent, context())
        assert (await writer.run(peek, Peek(account=account), context())).result == 1


async def test_a_stream_of_the_right_kind_that_does_not_fold_stays_a_defect(
    database_url: str,
) -> None:
    server = uuid4()

    def corrupt(_command: Peek, work: UnitOfWork) -> None:
        lenient = Decider("lenient", 0, lambda state, _fact: state, ServerRegistered)
        work.create(lenient, server).append(ServerDrained(server_id=server))

    async with writing(database_url) as writer:
        await writer.run(corrupt, Peek(account=server), context())
    async with writing(database_url) as cold:
        for _ in range(2):
            with pytest.raises(AssertionError, match="the stream is corrupt"):
                await cold.run(look, Look(stream=server, decider=SERVER), context())


async def _refused(
    writer: Writer,
    handler: Callable[[Any, Any], Any],
    command: Struct,
    refusal: type[Exception],
) -> None:
    with pytest.raises(refusal):
        await writer.run(handler, command, context())
