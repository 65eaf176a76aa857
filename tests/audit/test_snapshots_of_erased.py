"""Of an erased person no state is kept: not of before, and not of what comes after."""

from __future__ import annotations

from itertools import islice

import psycopg
import pytest
from msgspec.structs import replace

from domain.accounts.events import UserErased
from domain.ids import account_stream
from projections.audit.snapshots import EVERY, Snapshots
from tests.audit.old_age import ACCOUNT, ageing
from tests.audit.stories import Story, insert
from tests.audit.test_snapshots import COUNT, FEWER, keep_all, one
from tests.domain.cast import ALICE, BOB, TASK_ID, recharged, registered

pytestmark = pytest.mark.anyio


async def test_what_was_kept_of_a_person_goes_with_their_key_and_does_not_come_back(
    database_url: str,
) -> None:
    story = Story()
    for stream, fact in islice(ageing(), FEWER):
        story.given(stream, fact)
    story.given(ALICE, UserErased(user_id=ALICE, token_version=2, reason="asked"))
    with psycopg.connect(database_url) as writing:
        insert(writing, story.stored()[:-1])
        key = b"INSERT INTO owl_private.subject_keys VALUES (%s, %s)"
        writing.execute(key, (ALICE, b"key"))
    await keep_all(database_url)
    theirs = f"{COUNT} WHERE user_id = %s"
    about = f"{COUNT} WHERE stream = ANY (%s)"
    mine = [ALICE, ACCOUNT, TASK_ID]
    async with await psycopg.AsyncConnection.connect(database_url) as erasing:
        assert await one(erasing, theirs, ALICE) == await one(erasing, about, mine) > 0
        others = await one(erasing, COUNT) - await one(erasing, theirs, ALICE)
        await erasing.execute(b"DELETE FROM owl_private.subject_keys")
        assert await one(erasing, about, mine) == 0
        assert await one(erasing, COUNT) == others
        await erasing.commit()
    with psycopg.connect(database_url) as writing:
        insert(writing, story.stored()[-1:])
    # all is folded anew under another key, the time before the erasure too
    await keep_all(database_url, Snapshots(b"o" * 32))
    async with await psycopg.AsyncConnection.connect(database_url) as reading:
        assert await one(reading, about, mine) == 0
        assert await one(reading, COUNT) == others


async def test_nothing_is_kept_of_what_comes_after_an_erasure(database_url: str) -> None:
    story = Story()
    story.given(ALICE, registered())
    for _ in range(EVERY - 1):
        story.given(ACCOUNT, recharged())
        story.given(account_stream(BOB), replace(recharged(), user_id=BOB))
    story.given(ALICE, UserErased(user_id=ALICE, token_version=2, reason="asked"))
    # an administrator puts the account straight
    story.given(ACCOUNT, recharged())
    story.given(account_stream(BOB), replace(recharged(), user_id=BOB))
    with psycopg.connect(database_url) as writing:
        insert(writing, story.stored())
    await keep_all(database_url)
    async with await psycopg.AsyncConnection.connect(database_url) as reading:
        theirs = f"{COUNT} WHERE user_id = %s"
        assert await one(reading, theirs, ALICE) == 0
        assert await one(reading, theirs, BOB) == 1
