"""A bundle becomes the same log elsewhere: whole, proven and once, or not at all."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from commands.event_log.migrate import migrate
from commands.log_import import LogNotEmpty, import_log
from projections.audit.bundle import Bundle
from projections.audit.stored import StoredLog
from projections.audit.verify import Verification
from projections.migrate import prepare
from tests.audit.conftest import Notarised, Owl, answer, sign_all
from tests.audit.test_bundle import bundled


def test_a_bundle_made_and_checked_by_the_programs_becomes_the_same_log_elsewhere(
    owl: Owl, notarised: Notarised, tmp_path: Path, session_stack: Any
) -> None:
    path, key, note = tmp_path / "b.owlb", tmp_path / "key", tmp_path / "note"
    size = len(notarised.events)
    key.write_text(owl("key").stdout)
    note.write_text(owl("checkpoint").stdout)
    assert f"events      1 to {size}" in owl("export", "-o", str(path)).stdout
    bundle = (str(path), "--pub", str(key))
    assert "nothing was altered" in owl("verify-bundle", *bundle).stdout
    assert answer(owl("verify-bundle", *bundle, "--prev", str(note), "--json"))["last"] == size
    conninfo = session_stack.create_database()
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("DROP SCHEMA owl_log CASCADE; DROP SCHEMA owl_private CASCADE")
    elsewhere = ("--database-url", conninfo)
    owl("import", *bundle, *elsewhere)
    kept = ("--checkpoint", str(note), "--pub", str(key))
    found = answer(owl("verify", *kept, *elsewhere, "--json"))
    assert (found["is_right"], found["head"], found["signed"]) == (True, size, 0)
    again = owl("import", *bundle, *elsewhere, code=1)
    assert "into an empty one" in again.stderr
    session_stack.drop_database(conninfo)


@pytest.mark.anyio
async def test_an_imported_log_is_signed_by_its_new_notary_to_the_same_root(
    log: Notarised, tmp_path: Path, session_stack: Any
) -> None:
    path = bundled(log, tmp_path / "b.owlb")
    conninfo = session_stack.create_database()
    migrate(conninfo)
    with Bundle(path, log.key) as bundle:
        count = import_log(conninfo, log.key.name, (e.stored for e in bundle.proven()))
    assert count == await sign_all(conninfo) == len(log.events)
    with StoredLog.open(conninfo) as stored, StoredLog.open(log.conninfo) as original:
        note = stored.last_checkpoint()
        assert note == original.last_checkpoint()
        assert Verification(stored, key=log.key).run().findings == ()
    session_stack.drop_database(conninfo)


def test_a_bundle_that_changes_between_its_check_and_its_import_imports_nothing(
    owl: Owl, log: Notarised, tmp_path: Path, session_stack: Any, monkeypatch: Any
) -> None:
    """What is stored are the events that were proven, and not those of another reading."""
    conninfo, path = session_stack.create_database(), bundled(log, tmp_path / "b.owlb")
    honest, verify = path.read_bytes(), Bundle.verify
    with Bundle(path, log.key) as bundle:
        place = bundle.place_of_events
    lines = honest[place.start : place.stop].split(b"\n")
    lines[5] = re.sub(
        rb'(?<="recorded_at_us":)\d', lambda digit: b"1" if digit[0] != b"1" else b"2", lines[5]
    )
    changed = honest[: place.start] + b"\n".join(lines) + honest[place.stop :]
    assert len(changed) == len(honest)

    def verified(bundle: Bundle, **options: Any) -> None:
        verify(bundle, **options)
        path.write_bytes(changed)

    monkeypatch.setattr(Bundle, "verify", verified)
    refused = owl(
        "import", str(path), "--pub", str(log.key), "--database-url", conninfo, code=1
    )
    assert "event 6 " in refused.stderr
    with StoredLog.open(conninfo) as stored:
        assert stored.head() == 0
    session_stack.drop_database(conninfo)


def test_a_damaged_withheld_or_partial_bundle_imports_nothing(
    owl: Owl, log: Notarised, tmp_path: Path, session_stack: Any
) -> None:
    conninfo = session_stack.create_database()
    key, elsewhere = str(log.key), ("--database-url", conninfo)
    whole = bundled(log, tmp_path / "whole")
    damaged = bytearray(whole.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    bundled(log, tmp_path / "partial", 2)
    bundled(log, tmp_path / "withheld", withhold=("tasks.*",))
    (tmp_path / "hostile").write_bytes(random.Random(1).randbytes(10_000))
    (tmp_path / "nothing").write_bytes(b"")
    for name in ("damaged", "partial", "withheld", "hostile", "nothing"):
        result = owl("import", str(tmp_path / name), "--pub", key, *elsewhere, code=1)
        assert result.stderr.startswith("Error: ")
    with StoredLog.open(conninfo) as stored:
        assert stored.head() == 0
    session_stack.drop_database(conninfo)


@pytest.mark.parametrize(
    ("left", "where"),
    [
        ("INSERT INTO owl_log.tiles VALUES (0, 0, decode(repeat('00', 32), 'hex'))", "tiles"),
        ("INSERT INTO owl_log.loop_checkpoints VALUES ('relay', 5, '')", "loop_checkpoints"),
        ("UPDATE owl_read.checkpoints SET position = 5", "rm_users_g1"),
        ("SELECT 'a database that was made ready, and no more'", None),
    ],
)
def test_what_is_left_of_another_log_is_named_and_nothing_is_imported(
    log: Notarised, tmp_path: Path, session_stack: Any, left: str, where: str | None
) -> None:
    path, conninfo = bundled(log, tmp_path / "b.owlb"), session_stack.create_database()
    prepare(conninfo)
    with psycopg.connect(conninfo) as connection:
        connection.execute(left.encode())
    with Bundle(path, log.key) as bundle:
        events = [each.stored for each in bundle.proven()]
    if where is None:
        assert import_log(conninfo, log.key.name, events) == len(log.events)
    else:
        with pytest.raises(LogNotEmpty, match=f"in use, .*{where}.*: import into an empty"):
            import_log(conninfo, log.key.name, events)
    session_stack.drop_database(conninfo)
