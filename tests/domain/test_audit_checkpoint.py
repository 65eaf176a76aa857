"""Envelopes byte by byte; keys, notes and checkpoints against a published example."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from hypothesis import given
from hypothesis import strategies as st

from domain.audit.canonical import StoredEvent, envelope_of, leaves_of
from domain.audit.checkpoint import (
    Checkpoint,
    NoteInvalid,
    VerifierKey,
    checkpoint_in,
    opened,
    signed,
)
from domain.audit.merkle import leaf_hash

# the example of Go's package golang.org/x/mod/sumdb/note, which C2SP signed-note is made from
PUBLISHED_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PUBLISHED_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdng"
    "otpRZb6KE6RyyBwJnAM=\n"
)
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = VerifierKey("owl-factory/test", PRIVATE.public_key().public_bytes_raw())
EVENT = StoredEvent(
    position=300,
    stream=bytes(range(16)),
    version=2,
    tag="wallet.hold_placed/1",
    recorded_at_us=1_772_366_400_000_001,
    actor="user:爱",
    correlation="c",
    causation=None,
    command_id=bytes(16),
    state=b'{"type":"x"}',
)


def verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def test_an_envelope_is_these_bytes_for_ever() -> None:
    name = "user:爱".encode()
    assert envelope_of(EVENT) == (
        b"\x9b\x01\xcd\x01\x2c\xc4\x10" + bytes(range(16)) + b"\x02"
        + b"\xb4wallet.hold_placed/1"
        + b"\xcf" + (1_772_366_400_000_001).to_bytes(8, "big")
        + bytes([0xA0 + len(name)]) + name + b"\xa1c\xc0"
        + b"\xc4\x10" + bytes(16)
        + b"\xc4\x20" + sha256(b'{"type":"x"}').digest()
    )  # fmt: skip


def test_leaves_made_in_bulk_are_those_of_the_envelopes() -> None:
    later = EVENT._replace(position=301, causation=300, state=b"")
    assert leaves_of([EVENT, later]) == [leaf_hash(envelope_of(e)) for e in (EVENT, later)]


def test_a_published_note_opens_with_its_published_key_and_not_with_another() -> None:
    key = VerifierKey.parse(PUBLISHED_KEY)
    assert str(key) == PUBLISHED_KEY
    assert opened(PUBLISHED_NOTE, key, verify).startswith("If you think")
    with pytest.raises(NoteInvalid, match="not signed by"):
        opened(PUBLISHED_NOTE, KEY, verify)
    with pytest.raises(NoteInvalid, match="is wrong"):
        opened(PUBLISHED_NOTE.replace("answer", "Answer"), key, verify)


@given(st.integers(0, 2**63), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_is_read_as_it_was_signed(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(KEY.name, size, root)
    note = signed(checkpoint.text, KEY, PRIVATE.sign)
    assert checkpoint_in(note, KEY, verify) == checkpoint


def test_a_checkpoint_of_another_log_is_refused() -> None:
    note = signed(Checkpoint("other", 1, bytes(32)).text, KEY, PRIVATE.sign)
    with pytest.raises(NoteInvalid, match="a checkpoint of other"):
        checkpoint_in(note, KEY, verify)


NOTE = signed(Checkpoint(KEY.name, 123_456, bytes(range(32))).text, KEY, PRIVATE.sign)


def test_no_bit_of_a_note_can_be_changed() -> None:
    for bit in range(len(NOTE.encode()) * 8):
        changed = bytearray(NOTE.encode())
        changed[bit // 8] ^= 1 << bit % 8
        text = changed.decode(errors="replace")
        with pytest.raises(NoteInvalid):
            checkpoint_in(text, KEY, verify)


@given(st.text(max_size=300))
def test_what_is_no_note_is_refused_in_words(text: str) -> None:
    for read in (Checkpoint.parse, VerifierKey.parse):
        with pytest.raises(NoteInvalid):
            read(text)
    with pytest.raises(NoteInvalid):
        opened(text, KEY, verify)


@pytest.mark.parametrize("size", ["01", "-1", "", "1_0", "٣", "9" * 40])
def test_a_size_is_written_in_one_way_only(size: str) -> None:
    root = base64.b64encode(bytes(32)).decode()
    with pytest.raises(NoteInvalid):
        Checkpoint.parse(f"log\n{size}\n{root}\n")


@pytest.mark.parametrize(
    "text", ["a+b", "a+00000000+" + "A" * 44, PUBLISHED_KEY.replace("c7", "c8"), "+c74f20a3+AR"]
)
def test_a_key_whose_parts_do_not_belong_together_is_refused(text: str) -> None:
    with pytest.raises(NoteInvalid):
        VerifierKey.parse(text)
