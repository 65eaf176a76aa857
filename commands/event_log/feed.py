"""The log as readers see it: in order, decoded, personal fields in the clear.

``Ring`` holds the newest events of a log, once per process: the writer puts in what it commits,
readers put in what they fetched, and most reads never reach the database.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from domain.envelope import Recorded

RING_EVENTS = 16_384


class Ring:
    """The newest events without a gap between them. Safe from any thread."""

    def __init__(self, limit: int = RING_EVENTS) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._events: list[Recorded[Any]] = []
        self._wanted = False

    def committed(self, events: Iterable[Recorded[Any]]) -> None:
        """What this process has just committed; not even looked at if nobody reads here."""
        if self._wanted:
            self.put(events)

    def put(self, events: Iterable[Recorded[Any]]) -> None:
        """Contiguous events. Older than what is held: nothing new. Beyond a gap: start anew."""
        with self._lock:
            held = self._events
            for event in events:
                if held and event.position != held[-1].position + 1:
                    if event.position <= held[-1].position:
                        continue
                    held.clear()
                held.append(event)
            if len(held) > 2 * self._limit:
                del held[: -self._limit]

    def after(self, position: int, limit: int) -> list[Recorded[Any]]:
        """The events that follow ``position``; none if they are not all here."""
        with self._lock:
            self._wanted = True
            held = self._events
            if not held or not held[0].position <= position + 1 <= held[-1].position:
                return []
            start = position + 1 - held[0].position
            return held[start : start + limit]


class RingFeed:
    """``domain.ports.EventFeed`` over a ring and, behind it, the database."""

    def __init__(
        self,
        ring: Ring,
        head: Callable[[], int],
        fetch: Callable[[int, int], list[Recorded[Any]]],
    ) -> None:
        self._ring = ring
        self._head = head
        self._fetch = fetch

    def head(self) -> int:
        """The highest position, 0 when the log is empty."""
        return self._head()

    def recent(self, after: int, limit: int) -> Sequence[Recorded[Any]]:
        """As ``read`` from memory alone, so without blocking; nothing if it is not there."""
        return self._ring.after(after, limit)

    def read(self, after: int, limit: int) -> Sequence[Recorded[Any]]:
        """At most ``limit`` events with a position above ``after``, in order."""
        events = self._ring.after(after, limit)
        if not events:
            events = self._fetch(after, limit)
            if events and len(events) < limit:
                self._ring.put(events)  # the log's end; older history would push it out
        return events
