"""What auditors are shown over HTTP: the same that ``owl audit --json`` prints."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from projections.audit.entity import ChangedStream, Step
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
