"""What the agent said and nobody confirmed survives the agent."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import hypothesis
import pytest
from hypothesis import strategies as st

from gpu_agent import spool as spools
from gpu_agent.spool import Spool, open_spool

ROOT = Path(__file__).parents[2]


def saved(spool: Spool) -> None:
    spool.write(spool.take_changes())


def ids(spool: Spool) -> list[int]:
    return [pending.report_id.int for pending in spool.pending()]


def add(spool: Spool, number: int, *, essential: bool = True) -> bool:
    return spool.add(UUID(int=number), "a.subject", b"payload", essential=essential)


def test_reports_come_back_in_their_order(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "s")
    for number in (5, 1, 9, 3):
        add(spool, number)
    spool.confirm([UUID(int=9)])
    spool.close()
    again = open_spool(tmp_path / "s")
    assert ids(again) == [5, 1, 3]
    add(again, 2)
    assert [pending.sequence for pending in again.pending()] == [1, 2, 4, 5]
    again.close()


def test_an_attempt_that_had_begun_and_not_ended_is_known_as_interrupted(
    tmp_path: Path,
) -> None:
    spool = open_spool(tmp_path / "s")
    spool.begin(UUID(int=1), 1)
    spool.begin(UUID(int=2), 3)
    saved(spool)
    spool.end(UUID(int=1), 1)
    spool.close()
    again = open_spool(tmp_path / "s")
    assert again.interrupted == ((UUID(int=2), 3),)
    again.close()


def test_what_is_confirmed_before_it_was_written_is_never_written(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "s")
    add(spool, 1)
    spool.confirm([UUID(int=1)])
    changes = spool.take_changes()
    assert (changes.reports, changes.confirmed) == ({}, set())
    spool.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from uuid import UUID
from gpu_agent.spool import open_spool
spool = open_spool(Path(sys.argv[1]))
for number in range(1, 501):
    spool.add(UUID(int=number), "a.subject", b"x" * 200, essential=True)
    if number % 10 == 0:
        spool.write(spool.take_changes())
        print(number, flush=True)
    if number == 333:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_written_survives_a_kill(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "s")],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    written = int(ended.stdout.split()[-1])
    spool = open_spool(tmp_path / "s")
    assert ids(spool) == list(range(1, written + 1))
    spool.close()


def test_every_write_is_synced(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "s")
    assert spool._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    spool.close()


@pytest.mark.parametrize("damage", [b"not a database at all" * 100, b""])
def test_a_damaged_spool_is_set_aside_and_the_agent_starts(
    tmp_path: Path, damage: bytes
) -> None:
    path = tmp_path / "s"
    spool = open_spool(path)
    add(spool, 1)
    spool.close()
    content = bytearray(path.read_bytes())
    content[: len(damage)] = damage
    path.write_bytes(content)
    again = open_spool(path)
    assert ids(again) == ([] if damage else [1])
    assert add(again, 2)
    again.close()


def test_a_full_spool_takes_only_how_attempts_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "MOST_REPORTS", 3)
    spool = open_spool(tmp_path / "s")
    assert [add(spool, number, essential=False) for number in range(1, 6)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert add(spool, 9, essential=True)
    spool.close()


def test_a_disk_that_takes_nothing_loses_nothing_while_the_agent_lives(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "s")
    add(spool, 1)
    saved(spool)
    spool._connection.execute("PRAGMA query_only = ON")
    add(spool, 2)
    spool.confirm([UUID(int=1)])
    changes = spool.take_changes()
    with pytest.raises(OSError, match="cannot be written"):
        spool.write(changes)
    spool.give_back(changes)
    assert ids(spool) == [2]
    spool._connection.execute("PRAGMA query_only = OFF")
    spool.close()
    again = open_spool(tmp_path / "s")
    assert ids(again) == [2]
    again.close()


@hypothesis.given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "confirm", "write", "fail", "reopen"]), st.integers(1, 9)
        ),
        max_size=40,
    )
)
@hypothesis.settings(max_examples=40, deadline=None)
def test_memory_and_disk_agree_whatever_fails_in_between(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("spool") / "s"
    spool, wanted = open_spool(path), set[int]()
    for act, number in acts:
        match act:
            case "add" if number not in wanted:
                add(spool, number)
                wanted.add(number)
            case "confirm":
                spool.confirm([UUID(int=number)])
                wanted.discard(number)
            case "write":
                saved(spool)
            case "fail":
                spool.give_back(spool.take_changes())
            case "reopen":
                spool.close()
                spool = open_spool(path)
        assert set(ids(spool)) == wanted
    spool.close()
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT report_id FROM reports").fetchall()
    connection.close()
    assert {UUID(bytes=row[0]).int for row in rows} == wanted
