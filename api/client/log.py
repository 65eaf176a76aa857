"""A task's log, line by line, and the lines that are new since the last look."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from api.client.answers import Page, read
from api.client.http import ApiClient

PAGE_SIZE: Final = 200
PAGES_MAX: Final = 10_000


class LogLine(Struct, frozen=True, kw_only=True):
    """One line: an event of the platform, or what the task itself wrote."""

    message: str
    level: str = "INFO"
    source: str = "event"
    attempt: int = 0
    timestamp: datetime | None = None
    event_id: str = ""


class TaskLog:
    """Reads the log of a task from its beginning; each line is given once.

    Events and output are recorded by two logs, so a line may yet appear among those of the last
    moment: each look begins a page early, and what was given before is left out.
    """

    def __init__(self, client: ApiClient, task_id: str) -> None:
        self._client = client
        self._path = f"/logs/tasks/{task_id}"
        self._given: Counter[bytes] = Counter()

    async def new_lines(self) -> list[tuple[LogLine, dict[str, Any]]]:
        """The lines since the last look, each with the API's own words for it."""
        page_number = max(1, (self._given.total() - PAGE_SIZE) // PAGE_SIZE + 1)
        met: Counter[bytes] = Counter()
        fresh: list[tuple[LogLine, dict[str, Any]]] = []
        while page_number <= PAGES_MAX:
            data = await self._client.get(self._path, page=page_number, page_size=PAGE_SIZE)
            page = read(Page[LogLine], data)
            for line, raw in zip(page.items, data["items"], strict=True):
                key = f"{line.event_id}\n{line.timestamp}\n{line.message}".encode()
                met[key] += 1
                if met[key] > self._given[key]:
                    self._given[key] += 1
                    fresh.append((line, raw))
            if page_number >= page.total_pages:
                break
            page_number += 1
        return fresh
