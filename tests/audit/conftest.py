"""A notarised log: a story in the database, its tree stored and signed at several sizes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest
from click.testing import CliRunner, Result
from msgspec import Struct

from api.cli import main
from api.keys import make_keys
from commands.last_signed import LastSigned
from commands.notary import Config, Notary, NotarySession
from commands.room import Room
from commands.signals import LocalSignal
from commands.signatures import SigningKey
from commands.team_lease import TeamLease
from domain.audit.canonical import StoredEvent
from domain.audit.checkpoint import VerifierKey
from domain.envelope import Fence
from projections.audit.stored import StoredLog
from tests.audit.stories import insert, played
from tests.domain.cast import NOON

KEY_SEED = bytes(range(32))
KEY = SigningKey(KEY_SEED)
CHECKPOINT_EVERY = 100
# what keeps the platform's own programs from changing what is recorded stops no administrator
AS_OWNER = """
    ALTER TABLE owl_log.events DISABLE TRIGGER USER;
    ALTER TABLE owl_log.events DROP CONSTRAINT IF EXISTS events_from_one;
    ALTER TABLE owl_log.tiles DISABLE TRIGGER USER;
    ALTER TABLE owl_log.signed_checkpoints DISABLE TRIGGER USER
"""


def change(conninfo: str, statement: str) -> None:
    """What an administrator of the database may do to it."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(AS_OWNER)
        connection.execute(statement)


class Notarised(Struct):
    """A database with a signed log, and what is in it."""

    conninfo: str
    events: list[StoredEvent]
    key: VerifierKey


def notary_of(
    conninfo: str,
    *keys: SigningKey,
    events_max: int = 4096,
    deadline_s: float = 30.0,
    remembered: LastSigned | None = None,
    room: Room | None = None,
    patience_s: float = 0.0,
) -> Notary:
    config = Config(
        patience_s=patience_s,
        look_every_s=0.01,
        interval_s=0.01,
        events_max=events_max,
        read_together=CHECKPOINT_EVERY,
        remember_every_s=0.01,
        deadline_s=deadline_s,
    )
    at_hand = keys or (KEY,)
    return Notary(
        conninfo,
        lambda: at_hand,
        clock=lambda: NOON,
        committed=LocalSignal(),
        remembered=remembered,
        room=room,
        config=config,
    )


def step(session: NotarySession, fence: Fence) -> int:
    """Take in what is new, as much as one checkpoint does, and sign; how many events."""
    while session.take_in():
        pass
    return session.sign(fence)


async def sign_all(conninfo: str, *keys: SigningKey, events_max: int = CHECKPOINT_EVERY) -> int:
    """Let the notary sign all that there is; the size of its tree."""
    lease = TeamLease(conninfo, "notary-of-tests", "one")
    fence = await lease.acquire()
    assert fence is not None
    try:
        with notary_of(conninfo, *keys, events_max=events_max).resumed() as session:
            while step(session, fence):
                pass
            return session.tree.size
    finally:
        await lease.release(fence)


def verifier_key(conninfo: str) -> VerifierKey:
    with StoredLog.open(conninfo) as log:
        return VerifierKey(log.origin(), KEY.public_key)


@pytest.fixture(scope="module")
def log(session_stack: Any) -> Any:
    conninfo = session_stack.create_database()
    yield notarise(conninfo, 600)
    session_stack.drop_database(conninfo)


@pytest.fixture
def notarised(database_url: str) -> Notarised:
    return notarise(database_url, 1000)


def notarise(
    conninfo: str, size: int, *, seed: int = 1, events: list[StoredEvent] | None = None
) -> Notarised:
    """Put a story of ``size`` events, or these ``events``, into an empty log and sign it."""
    story = played(seed, size).stored() if events is None else events
    with psycopg.connect(conninfo) as connection:
        insert(connection, story)
    assert asyncio.run(sign_all(conninfo)) == len(story)
    return Notarised(conninfo, story, verifier_key(conninfo))


def slipped_in_before(connection: psycopg.Connection[Any], at: int) -> int:
    """The next event of a stream, at a position from which nobody reads on."""
    before = 1 - at
    connection.execute(
        """
        INSERT INTO owl_log.events SELECT %(before)s, originator_id,
            (SELECT max(originator_version) + 1 FROM owl_log.events AS other
             WHERE other.originator_id = events.originator_id),
            topic, state, recorded_at, actor, command_id, correlation_id, causation_id
        FROM owl_log.events WHERE notification_id = %(at)s
        """,
        {"before": before, "at": at},
    )
    return before


Owl: TypeAlias = Callable[..., Result]


@pytest.fixture
def owl(notarised: Notarised, tmp_path: Path) -> Owl:
    """Calls ``owl audit`` on the notarised log, as an auditor with the notary's key."""
    (tmp_path / "audit-signing-key").write_text(KEY_SEED.hex())
    environment = {
        "OWL_PROFILE": "test",
        "OWL_DATABASE_URL": notarised.conninfo,
        "OWL_SECRETS_DIR": str(tmp_path),
    }
    make_keys(tmp_path)

    def call(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["audit", *arguments], env=environment)
        assert result.exit_code == code, result.output
        return result

    return call


def answer(result: Result) -> Any:
    return json.loads(result.stdout)
