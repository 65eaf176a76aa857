"""States that were kept are those that the log says, bounded, and nobody else's to write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any
from uuid import UUID

import psycopg
import pytest

from domain.audit.canonical import StoredEvent
from domain.catalogue import encode
from domain.facts import tag_of
from domain.wallet.wallet import Wallet
from projections.audit import entity as entities
from projections.audit import folds
from projections.audit.entity import Entity
from projections.audit.folds import FOLDS, OF_ACCOUNT, OF_CODE, OF_SERVER
from projections.audit.keeping import Config, Keeper
from projections.audit.snapshots import BYTES_PER_EVENT, EVERY, Snapshots, encoded
from projections.fingerprint import _reached
from tests.audit.conftest import Notarised, Owl, answer
from tests.audit.old_age import ACCOUNT, SERVER, ageing
from tests.audit.stories import Story, insert
from tests.domain.cast import ALICE, BOB, CODE_ID, TASK_ID, hold_placed
from tests.stack import LiveStack

pytestmark = pytest.mark.anyio

EVENTS = 4_000
FEWER = 1_500
KEPT = Snapshots(b"k" * 32)
ENTITIES = (
    Entity("user", ALICE),
    Entity("server", SERVER),
    Entity("code", CODE_ID),
    Entity("task", TASK_ID),
)
GAPS = """
    SELECT stream, max(version - before) FROM (
        SELECT stream, version,
            lag(version, 1, 0::bigint) OVER (PARTITION BY stream ORDER BY version) AS before
        FROM owl_private.snapshots
    ) AS gap GROUP BY stream
"""
WEIGHT = "SELECT sum(octet_length(state)) FROM owl_private.snapshots WHERE stream = %s"
COUNT = "SELECT count(*) FROM owl_private.snapshots"
Connection = psycopg.AsyncConnection[Any]


def aged(events: int) -> list[StoredEvent]:
    story = Story()
    for stream, fact in islice(ageing(), events):
        story.given(stream, fact)
    return story.stored()


async def keep_all(conninfo: str, kept: Snapshots = KEPT, *, stretch: int = 700) -> None:
    keeper = Keeper(conninfo, kept, Config(stretch=stretch, rows_forgotten_at_once=50))
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        while await keeper.step(connection):
            pass


@pytest.fixture(scope="module")
def old(session_stack: LiveStack) -> Iterator[str]:
    """A log of entities that are old, and what was kept of them; tests change nothing in it."""
    url = session_stack.create_database()
    with psycopg.connect(url) as writing:
        insert(writing, aged(EVENTS))
    asyncio.run(keep_all(url))
    yield url
    session_stack.drop_database(url)


@pytest.fixture
async def connection(old: str) -> AsyncIterator[Connection]:
    """What a test changes here is forgotten."""
    async with await psycopg.AsyncConnection.connect(old, options="-c timezone=UTC") as reading:
        yield reading
        await reading.rollback()


async def one(connection: Connection, query: str, *parameters: Any) -> Any:
    row = await (await connection.execute(query.encode(), parameters)).fetchone()
    return None if row is None else row[0]


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.kind)
async def test_a_state_from_a_kept_one_is_the_fold_of_all_its_events(
    connection: Connection, entity: Entity
) -> None:
    for at in (0, 9, 641, 1_280, 1_281, EVENTS - 1, EVENTS, 10**9):
        whole = await entities.state(connection, entity, at)
        assert await entities.state(connection, entity, at, snapshots=KEPT) == whole


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.kind)
async def test_a_page_of_a_history_from_a_kept_state_is_that_of_the_whole(
    connection: Connection, entity: Entity
) -> None:
    whole = await entities.history(connection, entity, EVENTS)
    for after in (0, 5, 700, 2_000, EVENTS):
        page = await entities.history(
            connection, entity, EVENTS, after=after, limit=20, snapshots=KEPT
        )
        assert page == [step for step in whole if step.entry.position > after][:20]


async def test_a_state_is_kept_for_every_few_events_and_a_growing_one_more_seldom(
    connection: Connection,
) -> None:
    gaps: dict[UUID, int] = dict(await (await connection.execute(GAPS)).fetchall())
    assert gaps[ALICE] == gaps[ACCOUNT] == gaps[TASK_ID] == gaps[SERVER] == EVERY
    # a code remembers who has redeemed it
    assert EVERY < gaps[CODE_ID] < 3 * EVERY
    for stream in gaps:
        weight = await one(connection, WEIGHT, stream)
        assert weight <= BYTES_PER_EVENT * EVENTS


async def test_what_was_kept_is_what_is_read(connection: Connection) -> None:
    asked = [
        (OF_ACCOUNT, ACCOUNT, 2 * EVERY),
        (OF_SERVER, SERVER, 2 * EVERY),
        (OF_CODE, CODE_ID, 4 * EVERY),
    ]
    for fold, stream, behind in asked:
        kept = await KEPT.newest(connection, fold, stream, EVENTS)
        last = "SELECT max(originator_version) FROM owl_log.events WHERE originator_id = %s"
        assert kept is not None
        assert await one(connection, last, stream) - kept.place.version < behind
    assert await KEPT.newest(connection, OF_SERVER, ACCOUNT, EVENTS) is None


RICH = encoded(Wallet(10**12))


@pytest.mark.parametrize(
    "poison",
    [
        b"UPDATE owl_private.snapshots SET state = %(rich)s WHERE stream = %(account)s",
        b"UPDATE owl_private.snapshots SET seal = sha256(state)",
        b"UPDATE owl_private.snapshots SET position = position + 1, version = version + 1",
        b"""
        UPDATE owl_private.snapshots AS kept SET state = other.state, seal = other.seal
        FROM owl_private.snapshots AS other WHERE kept.stream = other.stream
            AND kept.version = other.version + %(every)s
        """,
        b"""
        INSERT INTO owl_private.snapshots (fold, stream, position, version, state, seal)
        SELECT fold, stream, (SELECT max(notification_id) FROM owl_log.events
            WHERE originator_id = stream), version + 1, %(rich)s, seal
        FROM owl_private.snapshots WHERE stream = %(account)s ORDER BY version DESC LIMIT 1
        """,
    ],
    ids=["state", "seal", "moved", "older", "added"],
)
async def test_who_has_not_the_key_cannot_change_what_is_shown(
    connection: Connection, poison: bytes
) -> None:
    entity = Entity("user", ALICE)
    whole = [await entities.state(connection, entity, at) for at in (900, EVENTS)]
    put = await connection.execute(poison, {"rich": RICH, "account": ACCOUNT, "every": EVERY})
    assert put.rowcount > 0
    shown = [
        await entities.state(connection, entity, at, snapshots=KEPT) for at in (900, EVENTS)
    ]
    assert shown == whole


async def test_another_fold_or_another_key_reads_nothing_of_before(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await KEPT.newest(connection, OF_ACCOUNT, ACCOUNT, EVENTS) is not None
    other_key = Snapshots(b"o" * 32)
    assert await other_key.newest(connection, OF_ACCOUNT, ACCOUNT, EVENTS) is None
    monkeypatch.setattr(folds, "_fingerprint", lambda *_: "changed")
    assert await KEPT.newest(connection, OF_ACCOUNT, ACCOUNT, EVENTS) is None


def test_every_definition_that_a_fold_reaches_is_in_its_digest() -> None:
    digests = {fold.name: fold.fingerprint for fold in FOLDS}
    assert len({*digests.values()}) == len(FOLDS)
    reached = _reached([OF_CODE.defined])
    for part in ("class Redeemers", "class CodeRedeemed", "def evolve", "class Decider"):
        assert part in reached, part


async def test_whatever_asks_or_comes_again_adds_nothing(database_url: str) -> None:
    with psycopg.connect(database_url) as writing:
        insert(writing, aged(FEWER))
    await keep_all(database_url)
    options = "-c default_transaction_read_only=on -c timezone=UTC"
    async with await psycopg.AsyncConnection.connect(
        database_url, autocommit=True, options=options
    ) as reading:
        before = await one(reading, COUNT)
        assert 0 < before <= FEWER / EVERY
        for entity in (*ENTITIES, Entity("user", BOB), Entity("task", ALICE)):
            await entities.state(reading, entity, EVENTS, snapshots=KEPT)
        await keep_all(database_url)
        assert await one(reading, COUNT) == before
        # a changed key: the old rows go, the new ones come
        await keep_all(database_url, Snapshots(b"o" * 32))
        assert await one(reading, COUNT) == before
        assert await KEPT.newest(reading, OF_ACCOUNT, ACCOUNT, EVENTS) is None


async def test_a_stream_that_cannot_be_folded_holds_up_no_other(database_url: str) -> None:
    events = aged(FEWER)
    at = next(n for n, each in enumerate(events) if each.stream == ACCOUNT.bytes)
    spent = hold_placed()  # of an account that has nothing
    events[at] = events[at]._replace(tag=tag_of(spent), state=encode(spent))
    with psycopg.connect(database_url) as writing:
        insert(writing, events)
    await keep_all(database_url)
    async with await psycopg.AsyncConnection.connect(database_url) as reading:
        about = f"{COUNT} WHERE stream = %s"
        assert await one(reading, about, ACCOUNT) == 0
        assert await one(reading, about, SERVER) > 0


async def test_two_at_work_at_once_keep_the_same(database_url: str) -> None:
    with psycopg.connect(database_url) as writing:
        insert(writing, aged(FEWER))
    await asyncio.gather(*(keep_all(database_url, stretch=300) for _ in range(3)))
    async with await psycopg.AsyncConnection.connect(
        database_url, options="-c timezone=UTC"
    ) as reading:
        gaps: dict[UUID, int] = dict(await (await reading.execute(GAPS)).fetchall())
        assert gaps[ACCOUNT] == gaps[SERVER] == EVERY
        for entity in ENTITIES:
            whole = await entities.state(reading, entity, EVENTS)
            shown = await entities.state(reading, entity, EVENTS, snapshots=KEPT)
            assert shown == whole


def test_what_proves_anything_does_without_kept_states(owl: Owl, notarised: Notarised) -> None:
    user = f"user:{ALICE}"
    now = answer(owl("state", user, "--json"))["state"]
    with psycopg.connect(notarised.conninfo) as changing:
        changing.execute("DROP TABLE owl_private.snapshots")
    owl("verify")
    assert answer(owl("state", user, "--whole", "--json"))["state"] == now
