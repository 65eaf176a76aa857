"""What auditors are shown over HTTP: the same that ``owl audit --json`` prints."""

from __future__ import annotations

from msgspec import Struct

from projections.audit.story import Entry


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
