"""A bundle in which a line was edited: both programs name the first event that differs."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from domain.audit.bundle import CHECKPOINT, EVENTS, BundleInvalid
from projections.audit.bundle import Bundle
from projections.audit.container import header
from tests.audit.conftest import Notarised, Owl, notarise
from tests.audit.test_bundle import bundled, checked, script

FIRST, LAST = 20, 60
EDITS = 150


@pytest.mark.parametrize(
    ("edits", "by_both"), [(EDITS, 12), pytest.param(50 * EDITS, 300, marks=pytest.mark.soak)]
)
def test_a_line_that_grew_or_shrank_is_named_by_both_programs(
    database_url: str, tmp_path: Path, edits: int, by_both: int
) -> None:
    """A byte, or many, replaced, inserted or taken out anywhere in the events."""
    log, dice = notarise(database_url, LAST), random.Random(8)
    path = bundled(log, tmp_path / "b.owlb", FIRST, LAST)
    honest = path.read_bytes()
    with Bundle(path, log.key) as bundle:
        place = bundle.place_of_events
    lines = honest[place.start : place.stop].split(b"\n")
    for nth in range(edits):
        at = dice.randrange(place.start, place.stop)
        new = dice.choice([b"", b" ", b"\n", b"}", honest[at : at + 1], b"\xff" * 700])
        taken = dice.choice([0, 1, 1, 900])
        edited = honest[:at] + new + honest[min(at + taken, place.stop) :]
        if edited == honest:
            continue
        path.write_bytes(edited)
        left = edited[place.start : place.stop + len(edited) - len(honest)].split(b"\n")
        first = FIRST + next(n for n, line in enumerate(lines) if left[n : n + 1] != [line])
        with pytest.raises(BundleInvalid) as found:
            checked(log, path)
        assert found.value.position == first, (at, new, taken)
        if nth < by_both:
            named = f"event {first} " if first <= LAST else f"behind event {LAST}"
            assert named in script(path, str(log.key)).stderr, (at, new, taken)


def test_what_stands_in_one_place_is_not_taken_from_another(
    database_url: str, tmp_path: Path
) -> None:
    """Heads that say another length than there is are damage, though all bytes are there."""
    log = notarise(database_url, LAST)
    path = bundled(log, tmp_path / "b.owlb", FIRST, LAST)
    honest = path.read_bytes()
    with Bundle(path, log.key) as bundle:
        place = bundle.place_of_events
    for longer in (-512, -1, 1, 512, 1024):
        head = header(EVENTS, len(place) + longer)
        path.write_bytes(honest[: place.start - 512] + head + honest[place.start :])
        with pytest.raises(BundleInvalid):
            checked(log, path)
        assert script(path, str(log.key)).returncode == 1


def with_sum(head: bytes) -> bytes:
    """A tar head with the checksum that it ought to have."""
    total = sum(head[:148]) + 8 * ord(" ") + sum(head[156:])
    return head[:148] + b"%06o\0 " % total + head[156:]


@pytest.mark.parametrize("name", [CHECKPOINT, EVENTS])
def test_a_hostile_head_is_refused_in_a_sentence(
    owl: Owl, notarised: Notarised, tmp_path: Path, name: str
) -> None:
    """Sizes that no file has and names that are no text, to each that opens a bundle."""
    log, path = notarised, bundled(notarised, tmp_path / "b.owlb", 1, LAST)
    honest = path.read_bytes()
    at = honest.index(name.encode().ljust(100, b"\0"))
    head = honest[at : at + 512]
    bad_name = with_sum(b"\xff" + head[1:])
    no_number = with_sum(head[:124] + b"\x80" + b"\xff" * 11 + head[136:])
    for bad in (*(header(name, 1 << bits) for bits in (40, 62, 80)), bad_name, no_number):
        path.write_bytes(honest[:at] + bad + honest[at + 512 :])
        with pytest.raises(BundleInvalid, match=f"damaged .* {name}"):
            checked(log, path)
        assert "WRONG" in script(path, str(log.key)).stderr
    for act in ("verify-bundle", "import"):
        refused = owl(act, str(path), "--pub", str(log.key), code=1)
        assert refused.stderr.startswith("Error: the bundle is ")


def test_a_number_that_is_true_is_named_by_both_programs(
    database_url: str, tmp_path: Path
) -> None:
    """Python takes ``true`` for 1; whoever signed did not write it."""
    log = notarise(database_url, LAST)
    path = bundled(log, tmp_path / "b.owlb", 1, LAST)
    honest = path.read_bytes()
    changed = honest.replace(b'"version":1,', b'"version":true,', 1)
    assert changed != honest
    path.write_bytes(changed)
    with pytest.raises(BundleInvalid) as found:
        checked(log, path)
    assert found.value.position == 1
    assert "event 1 " in script(path, str(log.key)).stderr
