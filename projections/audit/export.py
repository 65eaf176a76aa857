"""``owl audit export``: writes a stretch of the log as a bundle that proves itself."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import IO, Final, Literal, Protocol

import msgspec
from msgspec import Struct

from domain.audit.bundle import (
    CHECKPOINT,
    EVENTS,
    FORM,
    FORM_OF_KEYS,
    LEAVES,
    MANIFEST,
    PARQUET,
    RANGE,
    BundledEvent,
    Manifest,
    RangeProof,
)
from domain.audit.canonical import StoredEvent, leaves_of
from domain.audit.checkpoint import Sign, signed
from domain.audit.merkle import Frontier, full_subtrees, range_nodes
from domain.audit.rotation import KeyChain
from projections.audit.container import COPY_BYTES, ContainerWriter, MemberWriter
from projections.audit.proving import NotSigned
from projections.audit.signature import is_signed
from projections.audit.stored import StoredLog

NO_PROGRESS: Final = "the log does not give its own checkpoint: run `owl audit verify`"


class HistoryDiffers(Exception):
    """What is stored is not what was signed, so it is not handed on."""


class Stretch(Struct, frozen=True, kw_only=True):
    """Which events; the states of those whose tag matches ``withhold`` are left out."""

    first: int
    last: int
    withhold: tuple[str, ...] = ()
    form: Literal["jsonl", "parquet"] = "jsonl"


def export(
    log: StoredLog,
    output: IO[bytes],
    stretch: Stretch,
    *,
    keys: KeyChain,
    sign: Sign,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Write a bundle into ``output``, which must be seekable; ``sign`` is of the newest key.

    Raises:
        NotSigned: no checkpoint covers the stretch.
        HistoryDiffers: the stored events are not those that were signed.
    """
    note = log.checkpoint_for(stretch.last)
    if not 1 <= stretch.first <= stretch.last or note is None:
        raise NotSigned(f"no checkpoint covers events {stretch.first} to {stretch.last}")
    checkpoint = keys.checkpoint_in(note, is_signed)
    node, before = log.node(), stretch.first - 1
    left = range_nodes(0, before, node)
    right = range_nodes(stretch.last, checkpoint.size, node)
    writer = ContainerWriter(output)
    writer.add(CHECKPOINT, note.encode())
    proof = RangeProof([each.hex() for each in left], [each.hex() for each in right])
    writer.add(RANGE, msgspec.json.encode(proof))
    frontier = Frontier()
    for (level, _), each in zip(full_subtrees(0, before), left, strict=True):
        frontier = frontier.with_subtree(level, each)
    with tempfile.TemporaryFile() as leaves:
        frontier, withheld = _write_events(log, writer, stretch, frontier, leaves, progress)
        leaves.seek(0)
        with writer.writing(LEAVES) as file:
            while part := leaves.read(COPY_BYTES):
                file.write(part)
    for (level, _), each in zip(
        full_subtrees(stretch.last, checkpoint.size), right, strict=True
    ):
        frontier = frontier.with_subtree(level, each)
    if frontier.root != checkpoint.root:
        raise HistoryDiffers(NO_PROGRESS)
    manifest = Manifest(
        form=FORM_OF_KEYS if keys.links else FORM,
        origin=checkpoint.origin,
        first=stretch.first,
        last=stretch.last,
        size=checkpoint.size,
        withheld=withheld,
        files=dict(writer.digests),
        keys=list(keys.links) or msgspec.UNSET,
    )
    writer.add(MANIFEST, signed(manifest.text, keys.newest, sign).encode())
    writer.close()
    return manifest


def _write_events(
    log: StoredLog,
    writer: ContainerWriter,
    stretch: Stretch,
    frontier: Frontier,
    leaves: IO[bytes],
    progress: Callable[[int, int], None] | None,
) -> tuple[Frontier, int]:
    withheld = 0
    with writer.writing(EVENTS if stretch.form == "jsonl" else PARQUET) as file:
        written = _written_as(stretch.form, file)
        for rows in log.chunks(stretch.first - 1, stretch.last):
            hashes = leaves_of(rows)
            frontier = frontier.with_leaves(hashes)
            leaves.write(b"".join(hashes))
            events = [_bundled(StoredEvent._make(row), stretch) for row in rows]
            withheld += sum(isinstance(event.state_sha256, str) for event in events)
            written.write(events)
            if not rows or frontier.size != rows[-1][0]:
                raise HistoryDiffers(NO_PROGRESS)
            if progress is not None:
                progress(frontier.size, stretch.last)
        written.close()
    if frontier.size != stretch.last:
        raise HistoryDiffers(NO_PROGRESS)
    return frontier, withheld


class EventsFile(Protocol):
    """What the events of a bundle are written to."""

    def write(self, events: Sequence[BundledEvent]) -> None:
        """Append some."""

    def close(self) -> None:
        """Write the file's end."""


class JsonLines:
    """Writes events, one a line."""

    def __init__(self, file: MemberWriter) -> None:
        self._file = file
        self._encode = msgspec.json.Encoder().encode

    def write(self, events: Sequence[BundledEvent]) -> None:
        """Append lines."""
        self._file.write(b"".join(self._encode(event) + b"\n" for event in events))

    def close(self) -> None:
        """Lines need no end of their own."""


def _written_as(form: str, file: MemberWriter) -> EventsFile:
    if form == "jsonl":
        return JsonLines(file)
    # pyarrow takes as long to load as all the rest of this program, which few exports want
    from projections.audit.columns import ParquetEvents  # noqa: PLC0415 - see above

    return ParquetEvents(file)


def _bundled(event: StoredEvent, stretch: Stretch) -> BundledEvent:
    withheld = any(fnmatchcase(event.tag, tag) for tag in stretch.withhold)
    try:
        return BundledEvent.of(event, withheld=withheld)
    except UnicodeDecodeError as error:
        raise HistoryDiffers(NO_PROGRESS) from error
