"""A bundle is checked far from the log, with a public key alone, by two programs that agree."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from domain.audit.bundle import BundleInvalid
from domain.audit.checkpoint import Checkpoint, checkpoint_in, signed
from domain.audit.rotation import KeyChain
from projections.audit.bundle import Bundle
from projections.audit.export import HistoryDiffers, Stretch, export
from projections.audit.signature import is_signed
from projections.audit.stored import StoredLog
from tests.audit.conftest import AS_OWNER, KEY, Notarised
from tests.house.tree import ROOT

SCRIPT = ROOT / "docs" / "verify" / "owl_verify.py"
FLIPS = 1_000


def bundled(log: Notarised, path: Path, first: int = 1, last: int = 600, **how: Any) -> Path:
    with StoredLog.open(log.conninfo) as stored, path.open("wb") as file:
        stretch = Stretch(first=first, last=last, **how)
        keys = KeyChain.of(log.key, stored.links(), is_signed)
        export(stored, file, stretch, keys=keys, sign=KEY.sign)
    return path


def checked(log: Notarised, path: Path, held: Checkpoint | None = None) -> None:
    with Bundle(path, log.key) as bundle:
        bundle.verify(held=held)


def script(path: Path, key: str, *more: str) -> subprocess.CompletedProcess[str]:
    """The verifier alone, in the bundle's own folder, without our packages."""
    alone = path.parent / "owl_verify.py"
    shutil.copy(SCRIPT, alone)
    command = [sys.executable, "-I", str(alone), str(path), key, *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=path.parent)


@pytest.mark.parametrize(
    ("first", "last"), [(1, 600), (1, 1), (600, 600), (256, 257), (2, 599), (513, 600)]
)
def test_any_stretch_proves_itself_to_both_programs(
    log: Notarised, tmp_path: Path, first: int, last: int
) -> None:
    path = bundled(log, tmp_path / "b.owlb", first, last)
    checked(log, path)
    said = script(path, str(log.key))
    assert (said.returncode, said.stderr) == (0, "")
    assert f"events {first} to {last}" in said.stdout
    with Bundle(path, log.key) as bundle:
        assert [event.stored for event in bundle.proven()] == log.events[first - 1 : last]


def test_a_stretch_as_parquet_proves_itself_and_holds_the_same_events(
    log: Notarised, tmp_path: Path
) -> None:
    path = bundled(log, tmp_path / "b.owlb", 90, 410, form="parquet", withhold=("fleet.*",))
    again = bundled(log, tmp_path / "c.owlb", 90, 410, form="parquet", withhold=("fleet.*",))
    assert path.read_bytes() == again.read_bytes()
    lines = bundled(log, tmp_path / "d.owlb", 90, 410, withhold=("fleet.*",))
    checked(log, path)
    with Bundle(path, log.key) as one, Bundle(lines, log.key) as two:
        assert list(one.proven()) == list(two.proven())
    honest, dice = path.read_bytes(), random.Random(9)
    for _ in range(100):
        flipped = bytearray(honest)
        flipped[dice.randrange(len(honest))] ^= 1 << dice.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(BundleInvalid):
            checked(log, path)


def test_the_same_stretch_gives_the_same_bytes(log: Notarised, tmp_path: Path) -> None:
    one = bundled(log, tmp_path / "one", 7, 311)
    two = bundled(log, tmp_path / "two", 7, 311)
    assert one.read_bytes() == two.read_bytes()


def test_withheld_states_leave_the_proof_whole(log: Notarised, tmp_path: Path) -> None:
    path = bundled(log, tmp_path / "b.owlb", withhold=("accounts.*", "tasks.*"))
    checked(log, path)
    assert script(path, str(log.key)).returncode == 0
    assert b"alice@example.com" not in path.read_bytes()
    assert b"tasks.task_submitted/2" in path.read_bytes()


@pytest.mark.parametrize(
    ("flips", "seed"), [(FLIPS, 5), pytest.param(10 * FLIPS, 7, marks=pytest.mark.soak)]
)
def test_no_bit_of_a_bundle_can_be_flipped_and_a_changed_event_is_named(
    log: Notarised, tmp_path: Path, flips: int, seed: int
) -> None:
    path = bundled(log, tmp_path / "b.owlb", 300, 420)
    honest, dice = path.read_bytes(), random.Random(seed)
    with Bundle(path, log.key) as bundle:
        place = bundle.place_of_events
    named = 0
    for _ in range(flips):
        at, bit = dice.randrange(len(honest)), dice.randrange(8)
        flipped = bytearray(honest)
        flipped[at] ^= 1 << bit
        path.write_bytes(flipped)
        with pytest.raises(BundleInvalid) as found:
            checked(log, path)
        if at in place:
            named += 1
            line = honest.count(b"\n", place.start, at)
            assert found.value.position in {300 + line, None}, (at, bit)
            is_structure = found.value.position is None
            assert not is_structure or honest[at : at + 1] == b"\n" or flipped[at] == 10
    assert named > flips / 2


@pytest.mark.parametrize("withhold", [(), ("*",)])
def test_an_event_whose_ids_are_written_otherwise_is_named_by_both_programs(
    log: Notarised, tmp_path: Path, withhold: tuple[str, ...]
) -> None:
    """The same id in capitals is the same event, and not the same bundle."""
    path = bundled(log, tmp_path / "b.owlb", 300, 303, withhold=withhold)
    honest = path.read_bytes()
    with Bundle(path, log.key) as bundle:
        second = honest.index(b"\n", bundle.place_of_events.start) + 1
    for field in (
        b'"stream":"',
        b'"command_id":"',
        *([b'"state_sha256":"'] if withhold else []),
    ):
        begin = honest.index(field, second) + len(field)
        at = next(n for n in range(begin, begin + 64) if 97 <= honest[n] <= 102)
        path.write_bytes(honest[:at] + honest[at : at + 1].upper() + honest[at + 1 :])
        with pytest.raises(BundleInvalid) as found:
            checked(log, path)
        assert found.value.position == 301
        assert "event 301" in script(path, str(log.key)).stderr


def test_the_single_file_sees_what_the_program_sees(log: Notarised, tmp_path: Path) -> None:
    path = bundled(log, tmp_path / "b.owlb", 300, 330)
    honest, dice, named = path.read_bytes(), random.Random(6), 0
    for _ in range(25):
        flipped = bytearray(honest)
        flipped[dice.randrange(len(honest))] ^= 1 << dice.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(BundleInvalid) as found:
            checked(log, path)
        said = script(path, str(log.key))
        assert said.returncode == 1
        assert "WRONG" in said.stderr
        assert "Traceback" not in said.stderr
        if found.value.position is not None:
            assert f"event {found.value.position}" in said.stderr
            named += 1
    assert named > 10


@pytest.mark.parametrize("part", [0, 1, 512, 1_000, 5_000, -1, -1_024])
def test_a_bundle_that_was_cut_off_is_refused(
    log: Notarised, tmp_path: Path, part: int
) -> None:
    path = bundled(log, tmp_path / "b.owlb", 1, 50)
    path.write_bytes(path.read_bytes()[:part])
    with pytest.raises(BundleInvalid):
        checked(log, path)
    assert script(path, str(log.key)).returncode == 1


def test_a_bundle_goes_on_from_a_checkpoint_that_was_kept(
    log: Notarised, tmp_path: Path
) -> None:
    path = bundled(log, tmp_path / "b.owlb", 301, 600)
    kept = tmp_path / "kept"
    with StoredLog.open(log.conninfo) as stored:
        notes = {note.size: note.note for note in stored.checkpoints()}
    for size in (300, 400, 600):
        kept.write_text(notes[size])
        checked(log, path, checkpoint_in(notes[size], log.key, is_signed))
        assert script(path, str(log.key), str(kept)).returncode == 0
    forged = Checkpoint(log.key.name, 400, bytes(32))
    with pytest.raises(BundleInvalid, match="forked"):
        checked(log, path, forged)
    kept.write_text(signed(forged.text, log.key, KEY.sign))
    assert "forked" in script(path, str(log.key), str(kept)).stderr
    with pytest.raises(BundleInvalid, match="export from 201 or before"):
        checked(log, path, checkpoint_in(notes[200], log.key, is_signed))


def test_another_log_s_key_opens_nothing(log: Notarised, tmp_path: Path) -> None:
    path = bundled(log, tmp_path / "b.owlb", 1, 20)
    stranger = str(replace(log.key, name="owl-factory/another"))
    assert script(path, stranger).returncode == 1


def test_an_altered_log_is_not_handed_on(notarised: Notarised, tmp_path: Path) -> None:
    with psycopg.connect(notarised.conninfo) as connection:
        connection.execute(AS_OWNER)
        connection.execute(
            "UPDATE owl_log.events SET actor = 'user:x' WHERE notification_id = 500"
        )
    with pytest.raises(HistoryDiffers):
        bundled(notarised, tmp_path / "b.owlb")


def test_the_verifier_is_short_and_needs_one_library() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    imported = {
        line.split()[1].partition(".")[0]
        for line in text.splitlines()
        if line.lstrip().startswith(("import ", "from "))
    }
    assert imported - sys.stdlib_module_names == {"cryptography"}
