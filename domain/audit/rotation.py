"""The keys of a log one after the other: each change is a statement that both keys sign.

Whoever holds one key of the chain can check all: forwards, since the key held has named the
next, and backwards, since it has named the one before. A statement is a C2SP signed note of
four lines: what it is, after which position, the old verifier key, the new one. From the event
that carries it on, the new key signs every checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from domain.audit.checkpoint import (
    KEY_ID_BYTES,
    Checkpoint,
    NoteInvalid,
    Sign,
    VerifierKey,
    Verify,
    checkpoint_in,
    cosigned,
    opened,
    parts,
    signed,
)

FORM: Final = "owl-log-key-rotation/1"
AFTER: Final = "after "


class Link(Struct, frozen=True):
    """A statement, and the position of the event that carries it."""

    position: int
    note: str


class ChainBroken(NoteInvalid):
    """A statement is not signed by both keys, or does not follow; ``position`` is its own."""

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(message)
        self.position = position


class Rotation(Struct, frozen=True):
    """What the statement says; ``after`` is a position that the log had reached already."""

    after: int
    old: VerifierKey
    new: VerifierKey

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{FORM}\n{AFTER}{self.after}\n{self.old}\n{self.new}\n"

    @classmethod
    def parse(cls, text: str) -> Rotation:
        """The statement of a signed text, which has one form.

        Raises:
            NoteInvalid: it is none.
        """
        lines = text.split("\n")
        after = lines[1].removeprefix(AFTER) if len(lines) > 1 else ""
        if not (after.isascii() and after.isdigit()):
            raise NoteInvalid("a rotation names what it is, a position, and two keys")
        found = cls(int(after), *map(VerifierKey.parse, (*lines[2:4], "", "")[:2]))
        if found.text != text or found.old.name != found.new.name or found.old == found.new:
            raise NoteInvalid("a rotation names two keys of one log, in one form")
        return found

    def signed_by(self, old: Sign, new: Sign) -> str:
        """The note."""
        return cosigned(signed(self.text, self.old, old), self.new, new)


def rotation_in(note: str, verify: Verify) -> Rotation:
    """The rotation that a note states, signed by its two keys and nobody else.

    Raises:
        NoteInvalid: a signature is missing or wrong, or it is no such statement.
    """
    text, signatures = parts(note)
    found = Rotation.parse(text)
    keys = (found.old, found.new)
    if [each[:KEY_ID_BYTES] for _, each in signatures] != [key.key_id for key in keys]:
        raise NoteInvalid("a rotation is signed by the old key, then by the new one")
    for key in keys:
        opened(note, key, verify)
    return found


class KeyChain(Struct, frozen=True):
    """The keys of a log, each with the size of the first checkpoint that it signs."""

    keys: tuple[tuple[int, VerifierKey], ...]
    links: tuple[Link, ...] = ()

    @classmethod
    def of(cls, held: VerifierKey, links: Sequence[Link], verify: Verify) -> KeyChain:
        """The chain that these statements make, which must lead through the key ``held``.

        Raises:
            ChainBroken: it does not.
        """
        chain = cls(((0, held),))
        for nth, link in enumerate(links):
            chain = chain.with_link(link, verify, is_first=nth == 0)
        if held not in (key for _, key in chain.keys):
            raise ChainBroken(f"{held.name}+{held.key_id.hex()} is none of the log's keys")
        return chain

    def with_link(self, link: Link, verify: Verify, *, is_first: bool) -> KeyChain:
        """With one more; the ``is_first`` one says itself which key came before it.

        Raises:
            ChainBroken: it does not go on from here.
        """
        try:
            rotation = rotation_in(link.note, verify)
        except NoteInvalid as error:
            raise ChainBroken(f"the change of keys: {error}", link.position) from error
        since, newest = self.keys[-1]
        if not is_first and rotation.old != newest:
            raise ChainBroken("the change of keys is from another key", link.position)
        if not is_first and rotation.new in (key for _, key in self.keys):
            raise ChainBroken("the change of keys is to an older key", link.position)
        if rotation.old.name != newest.name or not rotation.after < link.position > since:
            raise ChainBroken("the change of keys is not of this place", link.position)
        before = ((0, rotation.old),) if is_first else self.keys
        return KeyChain((*before, (link.position, rotation.new)), (*self.links, link))

    @property
    def newest(self) -> VerifierKey:
        """The key that signs now."""
        return self.keys[-1][1]

    def at(self, size: int) -> VerifierKey:
        """The key that signs a checkpoint of ``size``."""
        return next(key for since, key in reversed(self.keys) if since <= size)

    def checkpoint_in(self, note: str, verify: Verify) -> Checkpoint:
        """The checkpoint that a note states, signed by the key of its size.

        Raises:
            NoteInvalid: the signature is missing or wrong, or it is of another log.
        """
        return checkpoint_in(note, self.at(Checkpoint.parse(parts(note)[0]).size), verify)
