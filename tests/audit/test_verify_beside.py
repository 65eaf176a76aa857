"""A long log is hashed by a second process, and is judged as by one."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg.errors import DataCorrupted

from domain.audit.refold import Refold
from projections.audit import hashed
from projections.audit.stored import StoredLog
from projections.audit.verify import Verification, Verified
from tests.audit.conftest import AS_OWNER, Notarised, notarise
from tests.audit.test_verify import deleted, forged, truncated

SIZE = 300
PAGE_DAMAGED = """
    CREATE OR REPLACE FUNCTION read_page() RETURNS timestamptz LANGUAGE plpgsql AS $$
    BEGIN RAISE 'invalid page in block 7' USING ERRCODE = 'data_corrupted'; END $$;
    DROP TABLE IF EXISTS owl_log.events CASCADE;
    CREATE SCHEMA IF NOT EXISTS owl_log;
    CREATE VIEW owl_log.events AS SELECT 1::bigint AS notification_id,
        gen_random_uuid() AS originator_id, 1::bigint AS originator_version, '' AS topic,
        read_page() AS recorded_at, '' AS actor, gen_random_uuid() AS correlation_id,
        gen_random_uuid() AS causation_id, gen_random_uuid() AS command_id, ''::bytea AS state
"""


@pytest.fixture(scope="module")
def small(session_stack: Any) -> Iterator[Notarised]:
    conninfo = session_stack.create_database()
    yield notarise(conninfo, SIZE)
    session_stack.drop_database(conninfo)


@pytest.fixture(autouse=True)
def every_log_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashed, "LONG", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


def verified(small: Notarised, *, since: int | None = None) -> Verified:
    refold = Refold() if since is None else None
    with StoredLog.open(small.conninfo) as log:
        run = Verification(
            log, key=small.key, since=since or 0, refold=refold, beside=small.conninfo
        )
        found = run.run()
    assert multiprocessing.active_children() == []
    return found


def test_an_honest_log_has_the_same_root_whole_and_in_part(small: Notarised) -> None:
    with StoredLog.open(small.conninfo) as log:
        here = Verification(log, key=small.key).run()
    for since in (None, 100, 257):
        beside = verified(small, since=since)
        assert beside.findings == ()
        assert beside.root == here.root


def test_the_first_change_is_named(small: Notarised, session_stack: Any) -> None:
    conninfo = session_stack.create_database()
    attacked = notarise(conninfo, SIZE)
    changes: list[tuple[Callable[[psycopg.Connection[Any], int], int], int]] = [
        (partial(forged, column="actor", nth=0, by=0), 290),
        (deleted, 257),
        (truncated, 3),
        (truncated, 1),
    ]
    for change, first in changes:
        with psycopg.connect(conninfo) as connection:
            connection.execute(AS_OWNER)
            assert change(connection, at=first) == first  # type: ignore[call-arg]
        assert verified(attacked).findings[0].position == first
    session_stack.drop_database(conninfo)
    assert verified(small).findings == ()


def test_a_database_out_of_its_reach_is_told_as_out_of_reach(small: Notarised) -> None:
    nowhere = psycopg.conninfo.make_conninfo(small.conninfo, port="1")
    with StoredLog.open(small.conninfo) as log, pytest.raises(psycopg.OperationalError):
        Verification(log, key=small.key, beside=nowhere).run()
    assert multiprocessing.active_children() == []


def test_what_postgres_says_of_a_damaged_page_is_told(
    small: Notarised, session_stack: Any
) -> None:
    damaged = session_stack.create_database()
    with psycopg.connect(damaged) as connection:
        connection.execute(PAGE_DAMAGED)
    said = "invalid page in block 7"
    with StoredLog.open(small.conninfo) as log, pytest.raises(DataCorrupted, match=said):
        Verification(log, key=small.key, beside=damaged).run()
    session_stack.drop_database(damaged)


def test_whoever_reads_on_after_it_was_killed_is_told(small: Notarised) -> None:
    with (
        StoredLog.open(small.conninfo) as log,
        hashed.hashed(log, 0, SIZE, beside=small.conninfo) as stretches,
    ):
        (process,) = multiprocessing.active_children()
        process.kill()
        process.join()
        with pytest.raises(hashed.ReadingEnded):
            list(stretches)


def test_an_end_in_the_midst_of_a_message_is_told_alike() -> None:
    receiving, sending = multiprocessing.Pipe(duplex=False)
    os.write(sending.fileno(), (1_000).to_bytes(4, "big") + b"half of it")
    sending.close()
    with receiving, pytest.raises(hashed.ReadingEnded):
        next(hashed._received(receiving))
