"""Another key signs the log: whoever holds one of its keys can check what any has signed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from commands.notary_resuming import HistoryAltered
from commands.signatures import SigningKey, SigningKeyMissing, is_signed
from domain.audit.bundle import BundleInvalid
from domain.audit.canonical import StoredEvent
from domain.audit.checkpoint import NoteInvalid, VerifierKey, checkpoint_in, cosigned, signed
from domain.audit.refold import Refold
from domain.audit.rotation import ChainBroken, KeyChain, Link, Rotation
from domain.catalogue import encode
from domain.ids import LOG_KEYS_STREAM
from domain.system.log_keys import LogKeyRotated
from projections.audit.bundle import Bundle
from projections.audit.export import Stretch, export
from projections.audit.stored import StoredLog
from projections.audit.verify import Verification
from tests.audit.conftest import KEY, Notarised, Owl, answer, notarise, sign_all
from tests.audit.stories import insert
from tests.audit.test_bundle import script

SECOND, THIRD = SigningKey(b"2" * 32), SigningKey(b"3" * 32)


def rotated(log: Notarised, at: int, version: int, old: SigningKey, new: SigningKey) -> str:
    """The event that says so, in the log behind what is there; the statement."""
    name = log.key.name
    change = Rotation(
        at - 1, VerifierKey(name, old.public_key), VerifierKey(name, new.public_key)
    )
    note = change.signed_by(old.sign, new.sign)
    append(log, note, at, version)
    return note


def append(log: Notarised, note: str, at: int, version: int) -> None:
    event = log.events[-1]._replace(
        position=at,
        stream=LOG_KEYS_STREAM.bytes,
        version=version,
        tag="system.log_key_rotated/1",
        state=encode(LogKeyRotated(note=note)),
        command_id=at.to_bytes(16, "big"),
    )
    with psycopg.connect(log.conninfo) as connection:
        insert(connection, [event])


def more(log: Notarised, first: int, last: int) -> None:
    """Acts that mean nothing, so that the log grows."""
    template = log.events[-1]
    events = [
        StoredEvent(
            *template._replace(
                position=position,
                stream=position.to_bytes(16, "big"),
                version=1,
                tag="system.log_read/1",
                command_id=position.to_bytes(16, "big"),
                state=b'{"type":"system.log_read/1","user_id":'
                b'"00000000-0000-0000-0000-000000000001","asked":"/"}',
            )
        )
        for position in range(first, last + 1)
    ]
    with psycopg.connect(log.conninfo) as connection:
        insert(connection, events)


@pytest.fixture(scope="module")
def thrice(session_stack: Any) -> Iterator[Notarised]:
    """600 events under the first key, 601–699 under the second, from 700 on the third."""
    conninfo = session_stack.create_database()
    log = notarise(conninfo, 600)
    rotated(log, 601, 1, KEY, SECOND)
    more(log, 602, 699)
    assert asyncio.run(sign_all(conninfo, KEY, SECOND)) == 699
    rotated(log, 700, 2, SECOND, THIRD)
    more(log, 701, 720)
    # neither the first nor the second is needed to go on
    assert asyncio.run(sign_all(conninfo, THIRD)) == 720
    yield log
    session_stack.drop_database(conninfo)


def keys_of(log: Notarised) -> list[VerifierKey]:
    return [VerifierKey(log.key.name, key.public_key) for key in (KEY, SECOND, THIRD)]


def test_a_checkpoint_over_the_change_is_signed_by_the_new_key(thrice: Notarised) -> None:
    first, second, third = keys_of(thrice)
    with StoredLog.open(thrice.conninfo) as log:
        for note in log.checkpoints():
            key = first if note.size < 601 else second if note.size < 700 else third
            assert checkpoint_in(note.note, key, is_signed).size == note.size


@pytest.mark.parametrize("held", [0, 1, 2])
def test_any_key_that_is_held_verifies_the_whole_log(thrice: Notarised, held: int) -> None:
    with StoredLog.open(thrice.conninfo) as log:
        found = Verification(log, key=keys_of(thrice)[held], refold=Refold()).run()
        assert (found.findings, found.signed) == ((), 720)
        part = Verification(log, key=keys_of(thrice)[held], since=650).run()
        assert part.findings == ()


def bundled(log: Notarised, path: Path, first: int, last: int) -> Path:
    with StoredLog.open(log.conninfo) as stored, path.open("wb") as file:
        keys = KeyChain.of(log.key, stored.links(), is_signed)
        export(stored, file, Stretch(first=first, last=last), keys=keys, sign=THIRD.sign)
    return path


@pytest.mark.parametrize("stretch", [(1, 720), (300, 400), (690, 710)])
def test_a_bundle_proves_itself_to_whoever_holds_any_key_in_both_programs(
    thrice: Notarised, tmp_path: Path, stretch: tuple[int, int]
) -> None:
    path = bundled(thrice, tmp_path / "b.owlb", *stretch)
    for key in keys_of(thrice):
        with Bundle(path, key) as bundle:
            bundle.verify()
        said = script(path, str(key))
        assert (said.returncode, said.stderr) == (0, "")
    stranger = VerifierKey(thrice.key.name, SigningKey(b"o" * 32).public_key)
    with pytest.raises(BundleInvalid, match="none of the log's keys"):
        Bundle(path, stranger)
    assert "do not lead to yours" in script(path, str(stranger)).stderr


def test_a_bundle_goes_on_from_a_checkpoint_by_an_older_key(
    thrice: Notarised, tmp_path: Path
) -> None:
    path, kept = bundled(thrice, tmp_path / "b.owlb", 601, 720), tmp_path / "kept"
    with StoredLog.open(thrice.conninfo) as stored:
        notes = {note.size: note.note for note in stored.checkpoints()}
    for size in (600, 699):
        kept.write_text(notes[size])
        said = script(path, str(thrice.key), str(kept))
        assert (said.returncode, said.stderr) == (0, "")
        with Bundle(path, thrice.key) as bundle:
            bundle.verify(held=bundle.keys.checkpoint_in(notes[size], is_signed))


BREAKS = ["cut", "first", "swapped", "forged", "stranger", "one signature", "no signature"]


@pytest.mark.parametrize("how", BREAKS)
def test_a_bundle_whose_chain_is_broken_is_refused_by_both_programs(
    thrice: Notarised, tmp_path: Path, how: str
) -> None:
    """Signed, whatever it says, by the key that the chain ends in: the chain alone is wrong."""
    with StoredLog.open(thrice.conninfo) as stored:
        links = stored.links()
    one, two = links
    first, second, third = keys_of(thrice)
    stranger = SigningKey(b"o" * 32)
    strange = VerifierKey(first.name, stranger.public_key)
    forged = Rotation(600, first, strange)
    broken = {
        "cut": [one],
        "first": [two],
        "swapped": [Link(601, two.note), Link(700, one.note)],
        "forged": [one, Link(700, two.note.replace("after 699", "after 698"))],
        "stranger": [Link(601, forged.signed_by(stranger.sign, stranger.sign))],
        "one signature": [Link(601, signed(forged.text, strange, stranger.sign))],
        "no signature": [Link(601, forged.text + "\n")],
    }[how]
    by = stranger if broken[0].position == 601 and len(broken) == 1 and how != "cut" else THIRD
    ends_in = strange if by is stranger else third
    chain = KeyChain(((0, first), (601, second), (700, ends_in)), tuple(broken))
    path = tmp_path / "b.owlb"
    with StoredLog.open(thrice.conninfo) as stored, path.open("wb") as file:
        export(stored, file, Stretch(first=1, last=650), keys=chain, sign=by.sign)
    with pytest.raises(BundleInvalid):
        Bundle(path, first)
    said = script(path, str(first))
    assert said.returncode == 1
    assert "WRONG" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_statement_has_one_form_and_both_signatures(thrice: Notarised) -> None:
    first, second, third = keys_of(thrice)
    change = Rotation(9, first, second)
    honest = Link(10, change.signed_by(KEY.sign, SECOND.sign))
    assert KeyChain.of(second, [honest], is_signed).newest == second
    backwards = cosigned(signed(change.text, second, SECOND.sign), first, KEY.sign)
    for broken in (
        Link(9, honest.note),
        Link(10, backwards),
        Link(10, signed(change.text, first, KEY.sign)),
        Link(10, cosigned(honest.note, third, THIRD.sign)),
        Link(10, Rotation(9, first, first).signed_by(KEY.sign, KEY.sign)),
        Link(10, honest.note.replace("after 9", "after 09")),
        Link(10, ""),
    ):
        with pytest.raises(ChainBroken) as found:
            KeyChain.of(first, [broken], is_signed)
        assert found.value.position == broken.position
    with pytest.raises(NoteInvalid):
        Rotation.parse(change.text + "more\n")


def test_a_change_that_the_old_key_did_not_sign_is_named_and_stops_the_notary(
    notarised: Notarised,
) -> None:
    size = len(notarised.events)
    stranger = SigningKey(b"o" * 32)
    name = notarised.key.name
    change = Rotation(size, notarised.key, VerifierKey(name, stranger.public_key))
    append(notarised, change.signed_by(stranger.sign, stranger.sign), size + 1, 1)
    with pytest.raises(HistoryAltered, match=f"position {size + 1}"):
        asyncio.run(sign_all(notarised.conninfo, KEY, stranger))
    with StoredLog.open(notarised.conninfo) as log:
        found = Verification(log, key=notarised.key).run()
    assert [(each.position, each.check) for each in found.findings] == [
        (size + 1, "CHECKPOINT")
    ]


def test_the_notary_signs_nothing_until_it_has_the_new_key(notarised: Notarised) -> None:
    size = len(notarised.events)
    rotated(notarised, size + 1, 1, KEY, SECOND)
    with pytest.raises(SigningKeyMissing, match="audit-signing-key"):
        asyncio.run(sign_all(notarised.conninfo, KEY))
    assert asyncio.run(sign_all(notarised.conninfo, SECOND)) == size + 1


def test_the_program_changes_the_key_and_what_was_held_before_suffices(
    owl: Owl, notarised: Notarised, tmp_path: Path
) -> None:
    size = len(notarised.events)
    key, note, bundle = tmp_path / "key", tmp_path / "note", tmp_path / "b.owlb"
    key.write_text(owl("key").stdout)
    note.write_text(owl("checkpoint").stdout)
    old = key.read_text().strip()
    made = owl("keys", "rotate", "--yes").stdout.strip()
    assert made != old
    assert owl("key").stdout.strip() == made
    assert (tmp_path / "audit-signing-key-previous").stat().st_mode & 0o077 == 0
    assert not (tmp_path / "audit-signing-key-next").exists()
    # twice at once would leave nobody to sign what is between
    assert "let `owl work` sign once" in owl("keys", "rotate", "--yes", code=1).stderr
    seeds = [
        bytes.fromhex((tmp_path / name).read_text())
        for name in ("audit-signing-key", "audit-signing-key-previous")
    ]
    assert asyncio.run(sign_all(notarised.conninfo, *map(SigningKey, seeds))) == size + 1
    listed = answer(owl("keys", "list", "--json"))
    assert [(each["key"], each["since"]) for each in listed] == [(old, 0), (made, size + 1)]
    assert "signs now" in owl("keys", "list").stdout.splitlines()[1]
    held = ("--pub", str(key), "--checkpoint", str(note))
    assert answer(owl("verify", *held, "--json"))["signed"] == size + 1
    owl("verify", "--pub", str(key), "--since", str(note))
    owl("export", "-o", str(bundle))
    owl("verify-bundle", str(bundle), "--pub", str(key), "--prev", str(note))
    assert script(bundle, old).returncode == 0


def test_an_interrupted_change_goes_on_where_it_was(
    owl: Owl, notarised: Notarised, tmp_path: Path
) -> None:
    made = owl("keys", "rotate", "--yes").stdout.strip()
    # as it is when the process is killed behind the commit, before the files change places
    (tmp_path / "audit-signing-key").replace(tmp_path / "audit-signing-key-next")
    (tmp_path / "audit-signing-key-previous").replace(tmp_path / "audit-signing-key")
    assert owl("key").stdout.strip() == made
    assert owl("keys", "rotate", "--yes").stdout.strip() == made
    with StoredLog.open(notarised.conninfo) as log:
        assert len(log.links()) == 1
    assert owl("key").stdout.strip() == made
