"""An erased person is forgotten in rows, too, that nobody takes on to their erasure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from uuid import UUID, uuid4

import psycopg
import pytest
from msgspec import Struct
from psycopg import sql

from commands.event_log.batch import APPEND_LOCK
from commands.event_log.log import EventLog
from commands.privacy import EraseUser, erase_user
from commands.writer import Writer
from domain.accounts.events import UserErased
from domain.catalogue import personal_fields
from domain.facts import Fact, tag_of
from projections.audit.forgetting import (
    BLANK,
    COLUMNS,
    ERASED_SINCE,
    PERSONAL,
    Config,
    Forgetting,
)
from projections.audit.person import report
from projections.jobs import wish_for
from projections.migrate import prepare
from projections.pace import BuildingConfig
from projections.progress import Progress
from projections.rebuild import Log, rebuild
from projections.switching import roll_back
from projections.users import USERS
from projections.wishes import Stopped
from tests.audit.test_privacy import (
    EMAIL,
    FULL_NAME,
    NAME,
    plaintext,
    recharged,
    registered,
)
from tests.audit.test_privacy import project as project_all
from tests.commands.accounting import clock, context, opened
from tests.projections.history import RandomFarm
from tests.projections.tables import project

pytestmark = pytest.mark.anyio

NAMES = {EMAIL, NAME, FULL_NAME}
STOP = """
    UPDATE owl_read.checkpoints
    SET stopped_at = position + 1, error = 'a bug', updated_at = now()
    WHERE read_model = 'users'
"""
COLUMNS_OF_ROWS = """
    SELECT table_schema, table_name, column_name FROM information_schema.columns
    WHERE table_schema LIKE 'rm\\_%'
"""
SAMPLED = """
    SELECT schemaname, tablename, attname FROM pg_stats WHERE schemaname LIKE 'rm\\_%'
"""


class Farm(Struct):
    """A log with one person in it, whom the live rows show."""

    url: str
    log: EventLog
    writer: Writer
    user: UUID
    email_claim: UUID

    @property
    def door(self) -> Log:
        return Log(feed=self.log.feed(), history=self.log.history(), append_lock=APPEND_LOCK)

    async def erase(self) -> None:
        """Erase the person, and let the live rows come to it."""
        order = EraseUser(user_id=self.user, email_claim=self.email_claim, reason="wish")
        await self.writer.run(erase_user, order, context())
        self.log.forget_key(self.user)
        await asyncio.to_thread(project_all, self.log)


@pytest.fixture
async def farm(database_url: str) -> AsyncIterator[Farm]:
    prepare(database_url)
    with opened(database_url) as log:
        async with Writer(log, clock) as writer:
            user = uuid4()
            command = await registered(writer, user)
            for _ in range(5):
                await recharged(writer, user)
            await asyncio.to_thread(project_all, log)
            yield Farm(database_url, log, writer, user, command.email_claim)


async def forget(url: str, *, stood_s: float = 0.0) -> int:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return await Forgetting(url, Config(stood_s=stood_s)).step(connection)


def build(farm: Farm) -> None:
    rebuild(farm.url, farm.door, [USERS], progress=lambda _: None, switching="manual")


def pause_a_build(farm: Farm) -> None:
    # heard when a chunk ends, while the next is folded: far from the last one

    def pause(_: Progress) -> None:
        with psycopg.connect(farm.url) as connection:
            wish_for(connection, "users", "pause")

    small = BuildingConfig(chunk_events=1, batch_events=1)
    with pytest.raises(Stopped):
        rebuild(farm.url, farm.door, [USERS], progress=pause, config=small)


def keep_for_another_version(farm: Farm) -> None:
    rebuild(farm.url, farm.door, [USERS], progress=lambda _: None)
    ours(farm, "'another'")


def ours(farm: Farm, fingerprint: str) -> None:
    """By whose folds the kept rows are."""
    with psycopg.connect(farm.url) as connection:
        connection.execute(
            "UPDATE owl_read.checkpoints AS kept SET fingerprint = "
            f"{fingerprint} FROM owl_read.checkpoints AS live WHERE kept.state = 'kept'"
            " AND live.state = 'live' AND live.read_model = kept.read_model"
        )


@pytest.mark.parametrize("left", [build, pause_a_build, keep_for_another_version])
async def test_rows_that_nobody_feeds_forget_too_and_are_right_when_they_are_fed_again(
    farm: Farm, left: Callable[[Farm], None]
) -> None:
    await asyncio.to_thread(left, farm)
    assert await forget(farm.url) == 0  # nobody was erased
    await recharged(farm.writer, farm.user)
    await farm.erase()
    assert plaintext(farm.url) == NAMES
    told = report(farm.url, farm.log.history(), farm.log.texts, farm.user)
    other = "rm_users_g1.users" if left is keep_for_another_version else "rm_users_g2.users"
    assert told.tables[other] == told.tables["users"] == 1
    assert await forget(farm.url) == 3
    assert plaintext(farm.url) == set()
    assert await forget(farm.url) == 0
    if left is keep_for_another_version:
        ours(farm, "live.fingerprint")
        await asyncio.to_thread(project_all, farm.log)
        shown = roll_back(farm.url, USERS, append_lock=APPEND_LOCK)
        assert shown.after_generation == 1
    (rebuilt,) = rebuild(farm.url, farm.door, [USERS], progress=lambda _: None)
    assert (rebuilt.compared, rebuilt.differing) == (True, ())
    assert plaintext(farm.url) == set()


async def test_live_rows_that_have_stopped_forget_and_those_at_work_are_left_alone(
    farm: Farm,
) -> None:
    with psycopg.connect(farm.url) as connection:
        connection.execute(STOP)
    await farm.erase()
    assert plaintext(farm.url) == NAMES
    assert await forget(farm.url, stood_s=3_600.0) == 0  # they moved just now
    assert await forget(farm.url) == 3
    assert plaintext(farm.url) == set()


def test_erasures_are_found_by_their_index_and_by_their_tag(database_url: str) -> None:
    assert f"'{tag_of(UserErased)}'" in ERASED_SINCE
    assert f"'{tag_of(UserErased)}'" in BLANK.as_string()
    with psycopg.connect(database_url) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute(f"EXPLAIN {ERASED_SINCE}", {"position": 0}).fetchall()
    assert any("events_of_erasures" in line for (line,) in plan)


def test_what_is_personal_stands_where_it_can_be_forgotten(database_url: str) -> None:
    prepare(database_url)
    events = RandomFarm(91).happen(300)
    project(database_url, events)
    facts: list[Fact] = [event.fact for event in events]
    words = {
        value
        for fact in facts
        for name in personal_fields(type(fact))
        if (value := getattr(fact, name)) is not None
    }
    places = set()
    with psycopg.connect(database_url) as connection:
        for schema, table, column in connection.execute(COLUMNS_OF_ROWS).fetchall():
            query = sql.SQL("SELECT DISTINCT {}::text FROM {}").format(
                sql.Identifier(column), sql.Identifier(schema, table)
            )
            shown = {value for (value,) in connection.execute(query) if value is not None}
            places |= {(schema, table, column)} if shown & words else set()
        given = {"schemas": [schema for schema, _, _ in places], "personal": PERSONAL}
        forgotten = connection.execute(COLUMNS, given).fetchall()
        connection.execute("ANALYZE")
        sampled = set(connection.execute(SAMPLED).fetchall())
    assert len(places) == 3
    assert places == set(forgotten)
    assert sampled, "the planner knows something"
    assert not sampled & places, "what it has sampled would outlive an erasure"
