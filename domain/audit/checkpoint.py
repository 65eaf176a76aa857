"""Checkpoints: the signed statement that the log, up to a size, has this root.

Sources: C2SP tlog-checkpoint (the text), C2SP signed-note (the signature). The Ed25519
operations come in as arguments.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from hashlib import sha256
from typing import Final, TypeAlias

from msgspec import Struct

from domain.audit.merkle import HASH_BYTES, Hash

ED25519: Final = b"\x01"
KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 4
SIGNATURE_MARK: Final = "— "
NOTE_BYTES_MAX: Final = 1_000_000

Sign: TypeAlias = Callable[[bytes], bytes]
"""An Ed25519 signature over a message."""
Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""Whether (public key, signature, message) belong together."""


class NoteInvalid(Exception):
    """A checkpoint, a key or a signature does not read, or is not of this log."""


class VerifierKey(Struct, frozen=True):
    """Who signs: the log's name and an Ed25519 public key. Written as one line of text."""

    name: str
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        """Tells keys of one name apart."""
        body = self.name.encode() + b"\n" + ED25519 + self.public_key
        return sha256(body).digest()[:KEY_ID_BYTES]

    def __str__(self) -> str:
        key = base64.b64encode(ED25519 + self.public_key).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """The key of ``str``.

        Raises:
            NoteInvalid: it is no Ed25519 verifier key.
        """
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        body = _decoded(encoded)
        if body[:1] != ED25519 or len(body) != KEY_BYTES + 1 or not is_name(name):
            raise NoteInvalid("a verifier key reads NAME+ID+BASE64, of kind Ed25519")
        key = cls(name, body[1:])
        if key.key_id.hex() != key_id:
            raise NoteInvalid("the verifier key's parts do not belong together")
        return key


class Checkpoint(Struct, frozen=True):
    """The tree over the first ``size`` events of the log ``origin``."""

    origin: str
    size: int
    root: Hash

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The checkpoint of a signed text; lines after the third are extensions, ignored.

        Raises:
            NoteInvalid: it is none.
        """
        origin, size, root, *_ = (*text.split("\n"), "", "", "")
        hashed = _decoded(root)
        plain = size == "0" or (size.isascii() and size.isdigit() and not size.startswith("0"))
        if not origin or not plain or len(size) > KEY_BYTES or len(hashed) != HASH_BYTES:
            raise NoteInvalid("a checkpoint has a name, a size and a root hash")
        return cls(origin, int(size), hashed)


def is_name(name: str) -> bool:
    """Whether a key may be called this."""
    return bool(name) and "+" not in name and not any(mark.isspace() for mark in name)


def signed(text: str, key: VerifierKey, sign: Sign) -> str:
    """The text with its signature line: a note."""
    assert text.endswith("\n"), "a note's text is whole lines"
    return f"{text}\n{_signature(text, key, sign)}"


def cosigned(note: str, key: VerifierKey, sign: Sign) -> str:
    """The note with one more signature line."""
    return note + _signature(parts(note)[0], key, sign)


def opened(note: str, key: VerifierKey, verify: Verify) -> str:
    """The text of a note that ``key`` signed; signatures of other keys are ignored.

    Raises:
        NoteInvalid: it did not.
    """
    text, signatures = parts(note)
    found = [
        signature[KEY_ID_BYTES:]
        for name, signature in signatures
        if name == key.name and signature[:KEY_ID_BYTES] == key.key_id
    ]
    if not found:
        raise NoteInvalid(f"not signed by {key.name}+{key.key_id.hex()}")
    if not all(verify(key.public_key, signature, text.encode()) for signature in found):
        raise NoteInvalid(f"the signature of {key.name}+{key.key_id.hex()} is wrong")
    return text


def checkpoint_in(note: str, key: VerifierKey, verify: Verify) -> Checkpoint:
    """The checkpoint that a note signed by ``key`` states.

    Raises:
        NoteInvalid: the signature is missing or wrong, or it is of another log.
    """
    checkpoint = Checkpoint.parse(opened(note, key, verify))
    if checkpoint.origin != key.name:
        raise NoteInvalid(f"a checkpoint of {checkpoint.origin}, signed by {key.name}")
    return checkpoint


def parts(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """A note's text, and its signatures: name, then key id and signature.

    Raises:
        NoteInvalid: it is no note.
    """
    text, separator, lines = note.rpartition("\n\n")
    if not separator or not lines.endswith("\n") or len(note) > NOTE_BYTES_MAX:
        raise NoteInvalid("a note is a text, an empty line and signature lines")
    signatures = []
    for line in lines[:-1].split("\n"):
        name, _, encoded = line.removeprefix(SIGNATURE_MARK).partition(" ")
        signature = _decoded(encoded)
        if not line.startswith(SIGNATURE_MARK) or not is_name(name):
            raise NoteInvalid("a signature line reads: em dash, name, signature")
        signatures.append((name, signature))
    return text + "\n", signatures


def _signature(text: str, key: VerifierKey, sign: Sign) -> str:
    signature = base64.b64encode(key.key_id + sign(text.encode())).decode()
    return f"{SIGNATURE_MARK}{key.name} {signature}\n"


def _decoded(text: str) -> bytes:
    """Base64 in its one canonical form: else a note could be changed and still verify."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteInvalid("not base64") from None
    if base64.b64encode(decoded).decode() != text:
        raise NoteInvalid("not canonical base64")
    return decoded
