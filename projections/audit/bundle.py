"""``owl audit verify-bundle``: checks a bundle with nothing but a public key.

Nothing in it is read as data before its signature or its digest was right, but the changes of
the log's key, which are signed one by one and tell whose signature it has to be; where a digest
is wrong, the leaves tell which event was changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final, Self

import msgspec

from domain.audit.bundle import (
    CHECKPOINT,
    EVENTS,
    FILES,
    LEAVES,
    LINE_BYTES_MAX,
    MANIFEST,
    PARQUET,
    RANGE,
    BundledEvent,
    BundleInvalid,
    Manifest,
    RangeProof,
)
from domain.audit.checkpoint import Checkpoint, NoteInvalid, VerifierKey, opened, parts
from domain.audit.merkle import HASH_BYTES, Frontier, full_subtrees
from domain.audit.rotation import KeyChain
from projections.audit.container import Member, content, digest_of, lines, members
from projections.audit.signature import is_signed

SMALL_BYTES: Final = 1 << 20
TELL_EVERY: Final = 4_096


class Bundle:
    """A bundle whose signatures were checked; ``verify`` checks everything else."""

    def __init__(self, path: Path, key: VerifierKey) -> None:
        """Open; a context manager.

        Raises:
            BundleInvalid: it is no bundle, or it was not made by the holder of ``key``.
        """
        self._path = path
        with ExitStack() as files:
            self._file: IO[bytes] = files.enter_context(path.open("rb"))
            self._events: IO[bytes] = files.enter_context(path.open("rb"))
            self._read_notes(key)
            self._opened = files.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def _read_notes(self, key: VerifierKey) -> None:
        self._members = members(self._file, FILES, moving=EVENTS)
        try:
            note = self._note(MANIFEST)
            self.keys = KeyChain.of(key, Manifest.parse(parts(note)[0]).links, is_signed)
            self.manifest = Manifest.parse(opened(note, self.keys.newest, is_signed))
            self.checkpoint = self.keys.checkpoint_in(self._note(CHECKPOINT), is_signed)
        except NoteInvalid as error:
            raise BundleInvalid(str(error)) from error
        if {*self.manifest.files, MANIFEST} != set(self._members):
            raise BundleInvalid("the manifest is of other files")
        said = (self.manifest.origin, self.manifest.size)
        if said != (self.checkpoint.origin, self.checkpoint.size):
            raise BundleInvalid("the manifest is of another checkpoint")

    def verify(
        self,
        *,
        held: Checkpoint | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Check every digest, every event and the tree; and that it grew out of ``held``.

        Raises:
            BundleInvalid: the first thing that is wrong, by its position if it is an event.
        """
        for _ in self.proven(held=held, progress=progress):
            pass

    def proven(
        self,
        *,
        held: Checkpoint | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[BundledEvent]:
        """The events, each the one that was signed; that none is missing, only at the end.

        What is proven are the bytes that were given out: a file that changes between two
        readings cannot slip one in that was not signed.

        Raises:
            BundleInvalid: as ``verify``; then nothing of what was given out holds.
        """
        manifest = self.manifest
        for name in (CHECKPOINT, RANGE, LEAVES, *self._unnamed):
            self._require_digest(name)
        leaves = self._leaves()
        frontier, right = self._beside()
        self._require_coverage(held)
        pending = None if held is None else held.size
        position = manifest.first - 1
        for event in self._parsed():
            if held is not None and frontier.size == pending:
                _require_root(frontier, held)
                pending = None
            position += 1
            leaf = _leaf_of(event, position)
            if next(leaves, None) != leaf:
                raise BundleInvalid(
                    f"event {position} is not the one that was signed", position
                )
            frontier = frontier.with_subtree(0, leaf)
            yield event
            if progress is not None and position % TELL_EVERY == 0:
                progress(position, manifest.last)
        if position != manifest.last or next(leaves, None) is not None:
            raise BundleInvalid(f"event {position + 1} is missing", position + 1)
        self._require_digest(self._events_name)
        if held is not None and frontier.size == pending:
            _require_root(frontier, held)
        for level, root in right:
            frontier = frontier.with_subtree(level, root)
        if frontier.root != self.checkpoint.root:
            raise BundleInvalid("the events do not give the root of the checkpoint")

    @property
    def place_of_events(self) -> range:
        """Which bytes of the file are the events."""
        member = self._members[self._events_name]
        return range(member.offset, member.offset + member.size)

    @property
    def _events_name(self) -> str:
        return PARQUET if PARQUET in self._members else EVENTS

    @property
    def _unnamed(self) -> tuple[str, ...]:
        """Files in which a changed event cannot be named, and which are checked as a whole."""
        return (PARQUET,) if PARQUET in self._members else ()

    def _note(self, name: str) -> str:
        try:
            return content(self._file, self._members[name], SMALL_BYTES).decode()
        except UnicodeDecodeError as error:
            raise BundleInvalid(f"{name} is no text") from error

    def _require_digest(self, name: str) -> None:
        member = self._members[name]
        if member.is_moved or digest_of(self._file, member) != self.manifest.files[name]:
            raise BundleInvalid(f"{name} is damaged")

    def _require_coverage(self, held: Checkpoint | None) -> None:
        if held is None:
            return
        if held.origin != self.manifest.origin:
            raise BundleInvalid(f"the checkpoint held is of {held.origin}")
        if not self.manifest.first - 1 <= held.size <= self.manifest.last:
            raise BundleInvalid(
                f"the checkpoint held covers {held.size} events: export from {held.size + 1} or"
                " before, so that the two meet"
            )

    def _beside(self) -> tuple[Frontier, list[tuple[int, bytes]]]:
        """The tree left of the events, and the subtrees right of them."""
        manifest, stored = self.manifest, content(self._file, self._members[RANGE], SMALL_BYTES)
        before, after = [
            [level for level, _ in full_subtrees(begin, end)]
            for begin, end in ((0, manifest.first - 1), (manifest.last, manifest.size))
        ]
        try:
            proof = msgspec.json.decode(stored, type=RangeProof)
            left = [*zip(before, map(bytes.fromhex, proof.left), strict=True)]
            right = [*zip(after, map(bytes.fromhex, proof.right), strict=True)]
        except ValueError as error:
            raise BundleInvalid(f"{RANGE} does not fit the events: {error}") from error
        frontier = Frontier()
        for level, root in left:
            frontier = frontier.with_subtree(level, root)
        return frontier, right

    def _leaves(self) -> Iterator[bytes]:
        member = self._members[LEAVES]
        for at in range(0, member.size, SMALL_BYTES):
            size = min(SMALL_BYTES, member.size - at)
            part = content(self._file, Member(member.offset + at, size), SMALL_BYTES)
            for begin in range(0, size, HASH_BYTES):
                yield part[begin : begin + HASH_BYTES]

    def _parsed(self) -> Iterator[BundledEvent]:
        if PARQUET in self._members:
            # pyarrow takes as long to load as all the rest that checks a bundle
            from projections.audit.columns import parquet_events  # noqa: PLC0415 - see above

            return parquet_events(self._path, self._members[PARQUET])
        return self._lines()

    def _lines(self) -> Iterator[BundledEvent]:
        decoder, encode = msgspec.json.Decoder(BundledEvent), msgspec.json.Encoder().encode
        stored = lines(self._events, self._members[EVENTS], LINE_BYTES_MAX)
        for position, line in enumerate(stored, self.manifest.first):
            try:
                event = decoder.decode(line)
            except ValueError as error:
                raise BundleInvalid(
                    f"event {position} does not read: {error}", position
                ) from None
            if encode(event) + b"\n" != line:  # an id in capitals would be the same id
                raise BundleInvalid(f"event {position} is not in its one form", position)
            yield event


def _leaf_of(event: BundledEvent, position: int) -> bytes:
    if event.position != position:
        raise BundleInvalid(f"event {position} is missing: {event.position} follows", position)
    try:
        return event.leaf
    except (ValueError, OverflowError) as error:
        raise BundleInvalid(f"event {position} is no event: {error}", position) from error


def _require_root(frontier: Frontier, held: Checkpoint) -> None:
    if frontier.root != held.root:
        raise BundleInvalid(
            f"the history forked: the first {held.size} events are not those of the checkpoint"
            " that you hold"
        )
