"""The notary signs what is there, goes on where it was, and never signs another history."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from commands.notary import Notary
from commands.notary_resuming import HistoryAltered
from commands.room import Room
from commands.signatures import SigningKey
from commands.team_lease import TeamLease
from domain.audit.canonical import StoredEvent, leaves_of
from domain.audit.checkpoint import checkpoint_in
from domain.audit.merkle import Frontier
from domain.audit.proofs import (
    consistency_proof,
    inclusion_proof,
    verify_consistency,
    verify_inclusion,
)
from domain.envelope import Fence
from domain.ports import FencedOff
from projections.audit.signature import is_signed
from projections.audit.stored import StoredLog
from tests.audit.conftest import (
    AS_OWNER,
    CHECKPOINT_EVERY,
    Notarised,
    notarise,
    notary_of,
    sign_all,
    step,
    verifier_key,
)
from tests.audit.stories import insert, played


def altered(conninfo: str, statement: str, *arguments: object) -> None:
    with psycopg.connect(conninfo) as connection:
        connection.execute(AS_OWNER)
        assert connection.execute(statement, arguments).rowcount > 0


def test_every_checkpoint_is_signed_and_states_the_tree_of_its_size(
    notarised: Notarised,
) -> None:
    leaves = leaves_of(notarised.events)
    with StoredLog.open(notarised.conninfo) as log:
        stored = log.checkpoints()
    assert [note.size for note in stored] == [*range(100, len(leaves), 100), len(leaves)]
    for note in stored:
        checkpoint = checkpoint_in(note.note, notarised.key, is_signed)
        assert checkpoint.size == note.size
        assert checkpoint.root == Frontier().with_leaves(leaves[: note.size]).root


def test_stored_tiles_prove_inclusion_and_growth(notarised: Notarised) -> None:
    leaves = leaves_of(notarised.events)
    size = len(leaves)
    with StoredLog.open(notarised.conninfo) as log:
        notes, node = log.checkpoints(), log.node()
        last = checkpoint_in(notes[-1].note, notarised.key, is_signed)
        for index in (0, 1, 255, 256, size - 1):
            proof = inclusion_proof(index, size, node)
            leaf = leaves[index]
            verify_inclusion(index=index, size=size, leaf=leaf, proof=proof, root=last.root)
        for note in notes:
            older = checkpoint_in(note.note, notarised.key, is_signed)
            proof = consistency_proof(older.size, size, node)
            verify_consistency(
                old=older.size, new=size, old_root=older.root, new_root=last.root, proof=proof
            )


@pytest.mark.anyio
async def test_steps_of_any_size_end_in_the_same_tree(
    notarised: Notarised, session_stack: Any
) -> None:
    other = session_stack.create_database()
    with psycopg.connect(other) as connection:
        insert(connection, notarised.events)
    for events_max in (1, 7, 300, 4096):
        await sign_all(other, events_max=events_max)
    tiles = "SELECT level, number, hashes FROM owl_log.tiles ORDER BY 1, 2"
    with psycopg.connect(other) as one, psycopg.connect(notarised.conninfo) as two:
        assert one.execute(tiles).fetchall() == two.execute(tiles).fetchall()
    session_stack.drop_database(other)


@pytest.mark.parametrize(
    ("statement", "argument", "message"),
    [
        (
            "UPDATE owl_log.tiles SET hashes = set_byte(hashes, 5, 0) WHERE level = %s",
            1,
            "root",
        ),
        ("DELETE FROM owl_log.tiles WHERE level = %s", 1, "missing or too short"),
        ("DELETE FROM owl_log.signed_checkpoints WHERE size > %s", 450, ""),
        ("UPDATE owl_log.signed_checkpoints SET note = %s WHERE size > 900", "x", "not read"),
    ],
)
def test_it_goes_on_only_from_what_it_signed(
    notarised: Notarised, statement: str, argument: object, message: str
) -> None:
    altered(notarised.conninfo, statement, argument)
    if not message:  # an older checkpoint is its own as well: it signs the same history again
        assert asyncio.run(sign_all(notarised.conninfo)) == len(notarised.events)
        return
    with pytest.raises(HistoryAltered, match=message):
        asyncio.run(sign_all(notarised.conninfo))


def test_it_does_not_go_on_from_what_another_key_signed(notarised: Notarised) -> None:
    stranger = notary_of(notarised.conninfo, SigningKey(b"o" * 32))
    with pytest.raises(HistoryAltered, match="not by this key"), stranger.resumed():
        pass


def test_it_stops_at_a_gap(notarised: Notarised) -> None:
    size = len(notarised.events)
    late = notarised.events[-1]._replace(position=size + 5, version=999)
    with psycopg.connect(notarised.conninfo) as connection:
        insert(connection, [late])
    with pytest.raises(HistoryAltered, match=f"gap after position {size}"):
        asyncio.run(sign_all(notarised.conninfo))


def test_it_signs_nothing_under_a_lease_that_it_lost(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        insert(connection, played(2, 50).stored())
    with notary_of(database_url).resumed() as session, pytest.raises(FencedOff):
        step(session, Fence("work", 7))
    with StoredLog.open(database_url) as log:
        assert log.checkpoints() == []


def test_a_server_that_hangs_is_left_in_time(notarised: Notarised) -> None:
    notary = notary_of(notarised.conninfo, deadline_s=0.5)
    with notary.resumed() as session:
        backend_pid = session._connection.info.backend_pid
        os.kill(backend_pid, signal.SIGSTOP)
        try:
            with pytest.raises(psycopg.OperationalError):
                step(session, Fence("work", 1))
        finally:
            os.kill(backend_pid, signal.SIGCONT)
    with notary.resumed() as session:
        assert session.tree.size == len(notarised.events)


@asynccontextmanager
async def at_work(conninfo: str, notary: Notary) -> AsyncIterator[None]:
    lease = TeamLease(conninfo, "work", "one")
    fence = await lease.acquire()
    assert fence is not None
    running = asyncio.create_task(notary.run(fence))
    yield
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await lease.release(fence)


@pytest.mark.anyio
async def test_while_it_runs_a_checkpoint_follows_each_commit(database_url: str) -> None:
    events = played(3, 120).stored()
    key = verifier_key(database_url)
    async with at_work(database_url, notary_of(database_url)):
        for begin, end in ((0, 40), (40, 41), (41, len(events))):
            store(database_url, events[begin:end])
            note = await until(lambda end=end: newest(database_url, end))  # type: ignore[misc]
            root = Frontier().with_leaves(leaves_of(events[:end])).root
            assert checkpoint_in(note, key, is_signed).root == root


class Machine:
    """One whose thousand processors have other things to do, until they are idle."""

    is_idle = False
    looks = 0

    def idle_s(self) -> float:
        self.looks += 1
        return 1_000 * time.monotonic() if self.is_idle else 0.0


@pytest.mark.anyio
async def test_what_is_behind_is_left_so_while_the_machine_has_nothing_to_spare(
    database_url: str,
) -> None:
    events, machine = played(3, 400).stored(), Machine()
    store(database_url, events)
    room = Room(machine.idle_s)
    notary = notary_of(database_url, events_max=CHECKPOINT_EVERY, room=room, patience_s=3600)
    async with at_work(database_url, notary):
        await until(lambda: newest(database_url, CHECKPOINT_EVERY))
        looks = machine.looks
        await until(lambda: once(machine.looks > looks + 5))
        assert await newest(database_url, CHECKPOINT_EVERY + 1) is None
        machine.is_idle = True
        await until(lambda: newest(database_url, len(events)))


@pytest.mark.anyio
async def test_but_not_for_longer_than_its_patience(database_url: str) -> None:
    events = played(3, 400).stored()
    store(database_url, events)
    room = Room(Machine().idle_s)
    notary = notary_of(database_url, events_max=CHECKPOINT_EVERY, room=room, patience_s=0.1)
    async with at_work(database_url, notary):
        await until(lambda: newest(database_url, len(events)))


def store(conninfo: str, events: Sequence[StoredEvent]) -> None:
    with psycopg.connect(conninfo) as connection:
        insert(connection, events)


async def once(is_so: bool) -> str | None:  # noqa: FBT001  what until asks again and again
    return "so" if is_so else None


async def newest(conninfo: str, size: int) -> str | None:
    def read() -> str | None:
        with StoredLog.open(conninfo) as log:
            return log.checkpoint_for(size)

    return await asyncio.to_thread(read)


async def until(ask: Callable[[], Awaitable[str | None]]) -> str:
    for _ in range(1_000):
        found = await ask()
        if found is not None:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError("no checkpoint in ten seconds")


def test_what_was_signed_cannot_be_changed_or_removed(notarised: Notarised) -> None:
    with psycopg.connect(notarised.conninfo, autocommit=True) as connection:
        for change in (
            "DELETE FROM owl_log.signed_checkpoints",
            "UPDATE owl_log.signed_checkpoints SET note = 'x'",
            "TRUNCATE owl_log.tiles",
            "DELETE FROM owl_log.tiles",
            "UPDATE owl_log.tiles SET hashes = set_byte(hashes, 0, 0)",
            "UPDATE owl_log.tiles SET hashes = substring(hashes FOR 32)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
                connection.execute(change)


def test_an_empty_log_has_nothing_to_sign(database_url: str) -> None:
    assert asyncio.run(sign_all(database_url)) == 0
    assert notarise(database_url, 30).events
