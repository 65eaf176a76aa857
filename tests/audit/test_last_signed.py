"""Whoever rewrites the database has not the notary's memory, and it refuses what differs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from structlog.testing import capture_logs

from commands.last_signed import NAME, LastSigned
from commands.notary_resuming import HistoryAltered
from commands.team_lease import TeamLease
from domain.audit.checkpoint import checkpoint_in
from projections.audit.signature import is_signed
from projections.audit.stored import StoredLog
from tests.audit.conftest import Notarised, Owl, change, notary_of, step
from tests.audit.stories import insert

FORGET = "DELETE FROM owl_log.signed_checkpoints; DELETE FROM owl_log.tiles;"
REMOVE = "DELETE FROM owl_log.signed_checkpoints WHERE size > 450;"
CUT = "DELETE FROM owl_log.events WHERE notification_id > 900;"
ALTER = "UPDATE owl_log.events SET state = state || 'x'::bytea WHERE notification_id = 990;"
ANOTHER = "UPDATE owl_log.identity SET origin = 'owl-factory/another';"


def signed_to_the_end(conninfo: str, memory: LastSigned) -> int:
    """Let a notary that has this memory sign what there is; the size of its tree."""

    async def sign() -> int:
        lease = TeamLease(conninfo, "notary-of-tests", "one")
        fence = await lease.acquire()
        assert fence is not None
        try:
            with notary_of(conninfo, remembered=memory).resumed() as session:
                while step(session, fence):
                    pass
                return session.tree.size
        finally:
            await lease.release(fence)

    return asyncio.run(sign())


@pytest.fixture
def memory(notarised: Notarised, tmp_path: Path) -> LastSigned:
    """Of a notary that has signed the whole log."""
    memory = LastSigned(tmp_path)
    assert signed_to_the_end(notarised.conninfo, memory) == len(notarised.events)
    return memory


def grown(notarised: Notarised, size: int) -> None:
    """The log appended to until it has this size."""
    with StoredLog.open(notarised.conninfo) as log:
        positions = range(log.head() + 1, size + 1)
    last, stream = notarised.events[-1], bytes(15) + b"x"
    late = [last._replace(position=at, stream=stream, version=at) for at in positions]
    with psycopg.connect(notarised.conninfo) as connection:
        insert(connection, late)


def test_what_was_signed_last_lies_beside_the_key_and_verify_takes_it(
    notarised: Notarised, memory: LastSigned, owl: Owl
) -> None:
    checkpoint = checkpoint_in(memory.path.read_text(), notarised.key, is_signed)
    assert checkpoint.size == len(notarised.events)
    assert [path.name for path in memory.path.parent.glob(f"{NAME}*")] == [NAME]
    owl("verify", "--checkpoint", str(memory.path))


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        (FORGET, "1000 events were signed, and the database says 0"),
        (FORGET + CUT, "1000 events were signed, and the database says 0"),
        (FORGET + ALTER, "1000 events were signed, and the database says 0"),
        (REMOVE, "the database says 400"),
        (FORGET + ANOTHER, "this log is owl-factory/another"),
    ],
    ids=["all", "all and the tail", "all, one event altered", "the newest", "another log"],
)
def test_who_removes_checkpoints_from_the_database_has_nothing_signed_anew(
    notarised: Notarised, memory: LastSigned, deed: str, message: str
) -> None:
    change(notarised.conninfo, deed)
    with pytest.raises(HistoryAltered, match=message):
        signed_to_the_end(notarised.conninfo, memory)


@pytest.mark.parametrize("deed", [FORGET + ALTER, FORGET + CUT], ids=["altered", "cut"])
def test_a_fork_that_another_notary_signed_is_refused(
    notarised: Notarised, memory: LastSigned, deed: str, tmp_path: Path
) -> None:
    """One that remembers nothing signs what it finds, and more than was signed before."""
    change(notarised.conninfo, deed)
    grown(notarised, 1001)
    assert signed_to_the_end(notarised.conninfo, LastSigned(tmp_path / "elsewhere")) == 1001
    with pytest.raises(HistoryAltered, match="the history forked"):
        signed_to_the_end(notarised.conninfo, memory)


def test_an_older_memory_is_of_the_same_log_and_a_hostile_one_is_refused(
    notarised: Notarised, memory: LastSigned
) -> None:
    with StoredLog.open(notarised.conninfo) as log:
        older = log.checkpoints()[3].note
    memory.path.write_text(older)
    grown(notarised, 1001)
    assert signed_to_the_end(notarised.conninfo, memory) == 1001
    for text in ("", "x", older[:40], "\ufffd" * 70_000):
        memory.path.write_text(text)
        with pytest.raises(HistoryAltered, match="not the log that was signed last"):
            signed_to_the_end(notarised.conninfo, memory)


def test_who_moves_the_file_away_has_the_database_signed_as_it_is_and_that_is_on_record(
    notarised: Notarised, memory: LastSigned
) -> None:
    change(notarised.conninfo, REMOVE + CUT)
    memory.path.rename(memory.path.with_name("disowned"))
    with capture_logs() as lines:
        assert signed_to_the_end(notarised.conninfo, memory) == 900
    found = [line for line in lines if line["event"] == "notary.believes_the_database"]
    assert [(line["size"], line["log_level"]) for line in found] == [(400, "warning")]
    assert "\n900\n" in memory.path.read_text()


def test_where_nothing_can_be_written_it_signs_and_says_so_once(
    notarised: Notarised, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    memory = LastSigned(tmp_path / "file" / "below")
    with capture_logs() as lines:
        for size in (1001, 1002, 1003):
            grown(notarised, size)
            signed_to_the_end(notarised.conninfo, memory)
    said = [line["event"] for line in lines if line["log_level"] == "warning"]
    assert said.count("notary.remembers_nothing") == 1


@pytest.mark.anyio
async def test_while_it_runs_it_remembers_what_it_signed(
    notarised: Notarised, tmp_path: Path
) -> None:
    memory = LastSigned(tmp_path)
    lease = TeamLease(notarised.conninfo, "work", "one")
    fence = await lease.acquire()
    assert fence is not None
    running = asyncio.create_task(notary_of(notarised.conninfo, remembered=memory).run(fence))
    await until(memory.path.exists)
    grown(notarised, 1001)
    await until(lambda: "\n1001\n" in memory.path.read_text())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await lease.release(fence)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(3_000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not in thirty seconds")
