"""A bundle: a stretch of the log that stands alone, to be checked far from any database.

It is a tar file of ``FILES`` in this order: the signed checkpoint; what stands in the tree left
and right of the stretch; the events, one a line, or as Parquet; their leaves, so that a changed
event can be named; and the manifest, signed like the checkpoint, with the digest of every other
file. Equal stretches of a log under equal checkpoints give equal bytes. When the log has had
several keys, the manifest holds each change of them, and the newest one signs it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.audit.canonical import StoredEvent, envelope_of
from domain.audit.checkpoint import NoteInvalid
from domain.audit.merkle import Hash, leaf_hash
from domain.audit.rotation import Link

FORM: Final = 1
FORM_OF_KEYS: Final = 2
"""Of a log whose key was changed."""
CHECKPOINT: Final = "checkpoint.note"
RANGE: Final = "range-proof.json"
EVENTS: Final = "events.jsonl"
PARQUET: Final = "events.parquet"
LEAVES: Final = "leaves.bin"
MANIFEST: Final = "manifest.note"
FILES: Final = ((CHECKPOINT,), (RANGE,), (EVENTS, PARQUET), (LEAVES,), (MANIFEST,))
"""The names that each file in its turn may have."""
LINE_BYTES_MAX: Final = 64 << 20


class BundleInvalid(Exception):
    """The bundle is damaged, forged or not what it says; ``position`` where it is known."""

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class FileDigest(Struct, frozen=True):
    """What tells that a file is whole."""

    sha256: str
    size_bytes: int


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a bundle holds: events ``first`` to ``last``, under a checkpoint of ``size``."""

    form: int = FORM
    origin: str
    first: int
    last: int
    size: int
    withheld: int
    """Of how many events the state is left out."""
    files: dict[str, FileDigest]
    keys: list[Link] | msgspec.UnsetType = msgspec.UNSET
    """Every change of the key that signs, oldest first."""

    @property
    def links(self) -> list[Link]:
        """``keys``, none where there are none."""
        return self.keys if isinstance(self.keys, list) else []

    @property
    def text(self) -> str:
        """What is signed: one line of JSON."""
        return msgspec.json.encode(self).decode() + "\n"

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """The manifest of a signed text.

        Raises:
            NoteInvalid: it is none.
        """
        try:
            manifest = msgspec.json.decode(text, type=cls)
        except ValueError as error:
            raise NoteInvalid(f"the manifest does not read: {error}") from None
        always = {CHECKPOINT, RANGE, LEAVES}
        named = set(manifest.files) in ({*always, EVENTS}, {*always, PARQUET})
        ordered = 1 <= manifest.first <= manifest.last <= manifest.size
        form = FORM_OF_KEYS if manifest.links else FORM
        if manifest.form != form or not named or not ordered:
            raise NoteInvalid("the manifest describes no bundle that this program knows")
        return manifest


class RangeProof(Struct, frozen=True):
    """The full subtrees left and right of the stretch, from left to right, in hexadecimal."""

    left: list[str]
    right: list[str]


class BundledEvent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of the events. ``state`` is the text as stored, or only its digest is given."""

    position: int
    stream: UUID
    version: int
    tag: str
    recorded_at_us: int
    actor: str
    correlation: str
    causation: int | None
    command_id: UUID
    state: str | msgspec.UnsetType = msgspec.UNSET
    state_sha256: str | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, event: StoredEvent, *, withheld: bool) -> BundledEvent:
        """A stored event as a line.

        Raises:
            UnicodeDecodeError: its state is no text, so it was never written by this platform.
        """
        fields: dict[str, Any] = event._asdict()
        fields["stream"] = UUID(bytes=event.stream)
        fields["command_id"] = UUID(bytes=event.command_id)
        state = fields.pop("state")
        if withheld:
            return cls(**fields, state_sha256=sha256(state).hexdigest())
        return cls(**fields, state=state.decode())

    @property
    def stored(self) -> StoredEvent:
        """The event as it was stored; without its state, where that is withheld."""
        return StoredEvent(
            position=self.position,
            stream=self.stream.bytes,
            version=self.version,
            tag=self.tag,
            recorded_at_us=self.recorded_at_us,
            actor=self.actor,
            correlation=self.correlation,
            causation=self.causation,
            command_id=self.command_id.bytes,
            state=self.state.encode() if isinstance(self.state, str) else b"",
        )

    @property
    def leaf(self) -> Hash:
        """The leaf that the line commits to.

        Raises:
            ValueError: it gives neither a state nor a digest, or both.
        """
        has_digest = isinstance(self.state_sha256, str)
        if has_digest == isinstance(self.state, str):
            raise ValueError("either the state is given, or its digest")
        if isinstance(self.state_sha256, str):
            if not self.state_sha256.islower() and not self.state_sha256.isdigit():
                raise ValueError("a digest has one form")
            return leaf_hash(envelope_of(self.stored, bytes.fromhex(self.state_sha256)))
        return leaf_hash(envelope_of(self.stored))
