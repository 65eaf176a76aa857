"""What auditors are shown over HTTP: the same that ``owl audit --json`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from domain.audit.checkpoint import KEY_ID_BYTES, Checkpoint, parts
from domain.audit.rotation import KeyChain
from projections.audit.entity import ChangedStream, Step
from projections.audit.stored import SignedThen
from projections.audit.story import Entry
from projections.audit.trace import Traced


class EventPage(Struct, kw_only=True):
    """Events up to position ``upto``; go on with ``next_after`` until it is null.

    A page may be short, or even empty, and not the last: the log is then looked through further
    by the next request.
    """

    items: list[Entry]
    upto: int
    next_after: int | None


class ProvenEvent(Struct, kw_only=True):
    """One event; ``proof`` is a C2SP tlog-proof of it, if one was asked for."""

    event: Entry
    event_id: str
    proof: str | None


class HistoryPage(Struct, kw_only=True):
    """What happened to an entity up to position ``upto``, and what each event changed."""

    items: list[Step]
    upto: int
    next_after: int | None


class EntityState(Struct, kw_only=True):
    """What an entity was after the event at ``position``."""

    entity: str
    position: int
    state: dict[str, Any]


class Difference(Struct, kw_only=True):
    """What changed between two positions: an entity's fields, or else which streams grew."""

    after: int
    upto: int
    changes: dict[str, tuple[Any, Any]] | None = None
    streams: list[ChangedStream] | None = None


class TraceAnswer(Struct, kw_only=True):
    """All that one request led to, each event after what caused it, ``depth`` below it."""

    items: list[Traced]
    upto: int
    is_complete: bool


class InclusionProof(Struct, kw_only=True):
    """That leaf ``index`` is in the tree over ``size`` events; hashes in base64."""

    index: int
    size: int
    leaf: str
    proof: list[str]
    root: str


class ConsistencyProof(Struct, kw_only=True):
    """That the tree over ``size`` events grew out of that over ``old_size``."""

    old_size: int
    size: int
    proof: list[str]
    old_root: str
    root: str


class ListedKey(Struct, frozen=True, kw_only=True):
    """``since``: the size of the first checkpoint that it signs.

    From there on ``rotation`` is in the log: the statement that names this key, signed by the
    one before it and by this one, a C2SP note; null for the log's first key.
    """

    key: str
    since: int
    signs_now: bool
    rotation: str | None


def listed_keys(chain: KeyChain) -> list[ListedKey]:
    """The keys of a log, oldest first."""
    notes = [None, *(link.note for link in chain.links)]
    return [
        ListedKey(key=str(key), since=since, signs_now=key == chain.newest, rotation=note)
        for (since, key), note in zip(chain.keys, notes, strict=True)
    ]


class ListedCheckpoint(Struct, frozen=True, kw_only=True):
    """``key_id`` is that of the verifier key that signed it; ``note`` is what it signed."""

    size: int
    signed_at: datetime
    root: str
    key_id: str
    note: str


class CheckpointPage(Struct, kw_only=True):
    """Signed checkpoints, the newest last; older ones with ``at=next_at`` until it is null."""

    items: list[ListedCheckpoint]
    next_at: int | None


def listed_checkpoints(newest_first: Sequence[SignedThen], limit: int) -> CheckpointPage:
    """The newest ``limit`` of those that were found, which are one more if there are more."""
    items = []
    for each in reversed(newest_first[:limit]):
        text, signatures = parts(each.note)
        items.append(
            ListedCheckpoint(
                size=each.size,
                signed_at=each.signed_at,
                root=Checkpoint.parse(text).root.hex(),
                key_id=signatures[0][1][:KEY_ID_BYTES].hex(),
                note=each.note,
            )
        )
    more = len(newest_first) > limit
    return CheckpointPage(items=items, next_at=newest_first[limit].size if more else None)
