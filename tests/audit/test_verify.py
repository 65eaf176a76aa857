"""Whatever is changed in the database, the first change is named by its position."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from commands.signatures import SigningKey
from domain.audit.canonical import leaves_of
from domain.audit.checkpoint import Checkpoint, VerifierKey
from domain.audit.merkle import Frontier
from domain.audit.refold import Refold
from projections.audit.stored import StoredLog
from projections.audit.verify import Verification, Verified
from tests.audit.conftest import AS_OWNER, Notarised, notarise, slipped_in_before
from tests.audit.stories import insert

SIZE = 300
CASES = 1_000
SHIFT = """
    UPDATE owl_log.events SET notification_id = -notification_id - %(by)s
    WHERE notification_id >= %(from)s;
    UPDATE owl_log.events SET notification_id = -notification_id WHERE notification_id < 0
"""
FORGE = {
    "state": "UPDATE owl_log.events SET state = set_byte(state, {nth} %% octet_length(state),"
    " (get_byte(state, {nth} %% octet_length(state)) + {by}) %% 256)",
    "topic": "UPDATE owl_log.events SET topic = topic || 'x'",
    "actor": "UPDATE owl_log.events SET actor = 'system:nobody'",
    "recorded_at": "UPDATE owl_log.events SET recorded_at = recorded_at + interval '1 us'",
    "originator_id": "UPDATE owl_log.events SET originator_id = gen_random_uuid()",
    "originator_version": "UPDATE owl_log.events SET originator_version = 1000000",
    "command_id": "UPDATE owl_log.events SET command_id = gen_random_uuid()",
    "correlation_id": "UPDATE owl_log.events SET correlation_id = ''",
    "causation_id": "UPDATE owl_log.events SET causation_id = coalesce(causation_id, 0) + 1",
}


def verified(log: StoredLog, key: VerifierKey, **how: Any) -> Verified:
    return Verification(log, key=key, **how).run()


@pytest.fixture(scope="module")
def small(session_stack: Any) -> Iterator[Notarised]:
    """Shared: each test undoes what it did to it."""
    conninfo = session_stack.create_database()
    yield notarise(conninfo, SIZE)
    session_stack.drop_database(conninfo)


@pytest.fixture
def attacked(small: Notarised) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's connection, whose every change is rolled back."""
    with psycopg.connect(small.conninfo) as connection:
        connection.execute(AS_OWNER)
        yield connection
        connection.rollback()


def test_an_honest_log_verifies_whole_and_in_part(notarised: Notarised) -> None:
    with StoredLog.open(notarised.conninfo) as log:
        whole = verified(log, notarised.key, refold=Refold())
        assert whole.findings == ()
        assert whole.head == whole.signed == len(notarised.events)
        for since in (1, 100, 255, 256, 257, 900, whole.head):
            part = verified(log, notarised.key, since=since)
            assert part.findings == ()
            assert part.root == whole.root


def forged(connection: psycopg.Connection[Any], column: str, at: int, nth: int, by: int) -> int:
    change = FORGE[column].format(nth=nth, by=by) + " WHERE notification_id = %(at)s"
    connection.execute(change.encode(), {"at": at})
    return at


def deleted(connection: psycopg.Connection[Any], at: int) -> int:
    connection.execute("DELETE FROM owl_log.events WHERE notification_id = %s", (at,))
    return at


def truncated(connection: psycopg.Connection[Any], at: int) -> int:
    connection.execute("DELETE FROM owl_log.events WHERE notification_id >= %s", (at,))
    return at


def closed_up(connection: psycopg.Connection[Any], at: int) -> int:
    """Deleted, and the gap closed by renumbering what follows."""
    deleted(connection, at)
    shift(connection, at + 1, -1)
    return at


def inserted(connection: psycopg.Connection[Any], at: int) -> int:
    """A copy of another event slipped in, what follows renumbered."""
    shift(connection, at, 1)
    connection.execute(
        """
        INSERT INTO owl_log.events SELECT %(at)s, gen_random_uuid(), originator_version, topic,
            state, recorded_at, actor, command_id, correlation_id, causation_id
        FROM owl_log.events WHERE notification_id = %(like)s
        """,
        {"at": at, "like": 1 if at > 1 else 2},
    )
    return at


def swapped(connection: psycopg.Connection[Any], at: int, other: int) -> int:
    for old, new in ((at, -1), (other, at), (-1, other)):
        connection.execute(
            "UPDATE owl_log.events SET notification_id = %s WHERE notification_id = %s",
            (new, old),
        )
    return min(at, other)


def shift(connection: psycopg.Connection[Any], first: int, by: int) -> None:
    for statement in SHIFT.split(";"):
        connection.execute(statement.encode(), {"by": by, "from": first})


@pytest.mark.parametrize(
    ("cases", "seed"), [(CASES, 11), pytest.param(10 * CASES, 12, marks=pytest.mark.soak)]
)
def test_the_first_change_is_named_in_a_thousand_attacks(
    small: Notarised, attacked: psycopg.Connection[Any], cases: int, seed: int
) -> None:
    dice, size = random.Random(seed), len(small.events)
    log = StoredLog(attacked)
    attacks: list[Callable[[int], int]] = [
        lambda at: deleted(attacked, at),
        lambda at: truncated(attacked, at),
        lambda at: closed_up(attacked, at),
        lambda at: inserted(attacked, at),
        lambda at: slipped_in_before(attacked, at),
        lambda at: swapped(attacked, at, at % size + 1),
        *(
            lambda at, column=column: forged(
                attacked, column, at, dice.randrange(10_000), dice.randrange(1, 256)
            )
            for column in [*FORGE, "state", "state", "state"]
        ),
    ]
    for case in range(cases):
        with attacked.transaction(force_rollback=True):
            first = attacks[case % len(attacks)](dice.randrange(1, size + 1))
            found = verified(log, small.key)
        assert found.findings, (case, first)
        assert found.findings[0].position == first, (case, found.findings)
    assert verified(log, small.key).findings == ()


def test_hashes_rewritten_with_the_event_still_contradict_the_checkpoints(
    small: Notarised, attacked: psycopg.Connection[Any]
) -> None:
    forged(attacked, "actor", 130, 0, 0)
    rewrite_tiles(attacked)
    found = verified(StoredLog(attacked), small.key)
    assert found.findings[0].position == 101  # after the last checkpoint that is met
    assert "events 101 to 200" in found.findings[0].message


def rewrite_tiles(connection: psycopg.Connection[Any]) -> None:
    """What an administrator would do who knows this program."""
    log = StoredLog(connection)
    leaves = leaves_of(log.events(0, log.head()))
    for number in range(len(leaves) // 256 + 1):
        hashes = b"".join(leaves[number * 256 : number * 256 + 256])
        connection.execute(
            "UPDATE owl_log.tiles SET hashes = %s WHERE level = 0 AND number = %s",
            (hashes, number),
        )


def test_a_stored_hash_that_was_changed_is_told_from_a_changed_event(
    small: Notarised, attacked: psycopg.Connection[Any]
) -> None:
    attacked.execute(
        "UPDATE owl_log.tiles SET hashes = set_byte(hashes, 32 * 9, 0) WHERE level = 0"
        " AND number = 0"
    )
    found = verified(StoredLog(attacked), small.key)
    assert [(finding.position, finding.check) for finding in found.findings] == [(10, "HASHES")]


def test_a_fork_signed_again_by_the_notary_fails_against_a_checkpoint_held_outside(
    small: Notarised, session_stack: Any
) -> None:
    early, late = (
        Checkpoint(
            small.key.name, size, Frontier().with_leaves(leaves_of(small.events[:size])).root
        )
        for size in (50, 250)
    )
    forked = [
        event._replace(actor="user:somebody-else") if event.position == 77 else event
        for event in small.events
    ]
    conninfo = session_stack.create_database()
    with psycopg.connect(conninfo) as connection:
        connection.execute("UPDATE owl_log.identity SET origin = %s", (small.key.name,))
    fork = notarise(conninfo, 0, events=forked)
    with StoredLog.open(conninfo) as log:
        assert verified(log, fork.key, refold=Refold()).findings == ()
        for held, since in (
            ([late], 0),
            ([early, late], 0),
            ([late], 200),
            ([early, late], 50),
        ):
            (found,) = verified(log, fork.key, held=held, since=since).findings
            # what the notary has signed again proves nothing about what was held
            trusted = 50 if early in held else 0
            assert (found.check, found.position) == ("TREE", trusted + 1)
            assert f"one of the events {trusted + 1} to 250" in found.message
            assert "held outside" in found.message
    session_stack.drop_database(conninfo)


def test_a_log_that_was_cut_with_its_checkpoints_fails_against_a_held_one(
    small: Notarised, attacked: psycopg.Connection[Any]
) -> None:
    root = Frontier().with_leaves(leaves_of(small.events[:250])).root
    truncated(attacked, 201)
    attacked.execute("DELETE FROM owl_log.signed_checkpoints WHERE size > 200")
    log = StoredLog(attacked)
    assert verified(log, small.key).findings == ()
    against = verified(log, small.key, held=[Checkpoint(small.key.name, 250, root)])
    assert against.findings[0].position == 201


@pytest.mark.parametrize("change", ["note = 'x'", "note = replace(note, E'\\n', E'\\n\\n')"])
def test_a_checkpoint_that_is_not_by_the_key_is_named(
    small: Notarised, attacked: psycopg.Connection[Any], change: str
) -> None:
    attacked.execute(f"UPDATE owl_log.signed_checkpoints SET {change} WHERE size = 200")
    found = verified(StoredLog(attacked), small.key)
    assert [(finding.position, finding.check) for finding in found.findings] == [
        (200, "CHECKPOINT")
    ]
    stranger = VerifierKey(small.key.name, SigningKey(b"o" * 32).public_key)
    assert verified(StoredLog(attacked), stranger).findings[0].check == "CHECKPOINT"


def test_a_forged_event_that_the_notary_signed_is_found_by_the_refold(
    database_url: str,
) -> None:
    story = notarise(database_url, 300)
    forged_one = [
        event._replace(state=event.state.replace(b'"amount_fen":', b'"amount_fen":1'))
        if event.tag == "wallet.account_recharged/1"
        else event
        for event in story.events
    ]
    first = next(
        old.position for old, new in zip(story.events, forged_one, strict=True) if old != new
    )
    with psycopg.connect(database_url) as connection:
        connection.execute(AS_OWNER)
        for table in ("events", "tiles", "signed_checkpoints"):
            connection.execute(f"DELETE FROM owl_log.{table}")
    forged_log = notarise(database_url, 0, events=forged_one)
    with StoredLog.open(database_url) as log:
        assert verified(log, forged_log.key).findings == ()
        found = verified(log, forged_log.key, refold=Refold())
    assert found.findings[0].position == first
    assert found.findings[0].check == "I1"


def test_events_that_are_not_signed_yet_are_no_finding_and_are_counted(
    notarised: Notarised,
) -> None:
    late = notarised.events[-1]
    late = late._replace(position=late.position + 1, version=late.version + 1)
    with psycopg.connect(notarised.conninfo) as connection:
        insert(connection, [late])
    with StoredLog.open(notarised.conninfo) as log:
        found = verified(log, notarised.key)
    assert found.findings == ()
    assert (found.head, found.signed) == (late.position, late.position - 1)


def test_what_the_log_calls_itself_is_what_the_key_is_for(
    small: Notarised, attacked: psycopg.Connection[Any]
) -> None:
    attacked.execute("UPDATE owl_log.identity SET origin = 'another'")
    found = verified(StoredLog(attacked), small.key)
    assert (found.findings[0].position, found.findings[0].check) == (0, "CHECKPOINT")
