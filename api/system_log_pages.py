"""Reads the system log: a page, the newest first; or lines in order, for a download.

Totals come from the counts by day and level. A search reads lines, so its total is counted up
to ``COUNTED_MAX`` and no further.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import product
from typing import Any, Final, LiteralString, TypeAlias

from msgspec import Struct
from psycopg import AsyncConnection

from api.system_log_lines import Level
from projections.page import Found, Page, offset, one

COUNTED_MAX: Final = 10_000

_CONDITIONS: Final[tuple[LiteralString, ...]] = (
    "level = %(level)s",
    "logged_at >= %(start)s::timestamp AT TIME ZONE 'UTC'",
    "logged_at < %(end)s::timestamp AT TIME ZONE 'UTC'",
    "message ILIKE %(pattern)s",
)
_COUNT_CONDITIONS: Final[tuple[LiteralString, ...]] = (
    "level = %(level)s",
    "day >= %(start)s::date",
    "day < %(end)s::date",
)
PAGE: Final = """
    SELECT json_build_object(
        'total', ({total}),
        'items', coalesce((
            SELECT json_agg(to_json(found)) FROM (
                SELECT * FROM owl_log.system_log WHERE {where}
                ORDER BY logged_at DESC, line_id DESC
                LIMIT %(limit)s OFFSET %(offset)s
            ) AS found
        ), '[]'::json)
    )::text
"""
KEPT_COUNTS: Final = "SELECT coalesce(sum(n), 0) FROM owl_log.system_log_counts WHERE {where}"
COUNTED: Final = """
    SELECT count(*) FROM (
        SELECT 1 FROM owl_log.system_log WHERE {where} LIMIT 10000
    ) AS found
"""
AFTER: Final = """
    SELECT coalesce(json_agg(to_json(found)), '[]')::text FROM (
        SELECT * FROM owl_log.system_log
        WHERE (logged_at, line_id) > (%(logged_at)s, %(line_id)s) AND {where}
        ORDER BY logged_at, line_id LIMIT %(limit)s
    ) AS found
"""


class LogFilter(Struct, frozen=True, kw_only=True):
    """Which lines; days are UTC days, both included; ``search`` is literal text."""

    level: Level | None = None
    start_date: date | None = None
    end_date: date | None = None
    search: str | None = None


class LineCursor(Struct, frozen=True):
    """The place of a line in the log; what was written later may stand before it."""

    logged_at: datetime
    line_id: int


class SystemLogLine(Struct, frozen=True, kw_only=True):
    """One line; ``message`` is all of it as a person reads it, ``fields`` as a program does."""

    line_id: int
    logged_at: datetime
    level: Level
    program: str
    logger: str
    event: str
    request_id: str | None
    message: str
    fields: dict[str, Any]

    @property
    def cursor(self) -> LineCursor:
        """What to give for the lines after this one."""
        return LineCursor(self.logged_at, self.line_id)


Asked: TypeAlias = tuple[bool, bool, bool, bool]
"""Which of level, start, end and search are filtered by."""


def _joined(conditions: Iterator[LiteralString]) -> LiteralString:
    return " AND ".join(conditions) or "true"


def _where(asked: Asked) -> LiteralString:
    return _joined(text for text, wanted in zip(_CONDITIONS, asked, strict=True) if wanted)


def _total(asked: Asked) -> LiteralString:
    if asked[-1]:
        return COUNTED.format(where=_where(asked))
    pairs = zip(_COUNT_CONDITIONS, asked[:-1], strict=True)
    return KEPT_COUNTS.format(where=_joined(text for text, wanted in pairs if wanted))


_ASKED: Final[tuple[Asked, ...]] = tuple(product((False, True), repeat=4))  # type: ignore[arg-type]  # four
PAGES: Final[dict[Asked, LiteralString]] = {
    asked: PAGE.format(total=_total(asked), where=_where(asked)) for asked in _ASKED
}
AFTERS: Final[dict[Asked, LiteralString]] = {
    asked: AFTER.format(where=_where(asked)) for asked in _ASKED
}
_FIRST: Final = LineCursor(datetime.fromisoformat("2000-01-01T00:00:00+00:00"), 0)


async def system_log_page(
    connection: AsyncConnection[Any], wanted: LogFilter, *, page: int, page_size: int
) -> Page[SystemLogLine]:
    """One page, the newest line first."""
    parameters = _parameters(wanted) | {"limit": page_size, "offset": offset(page, page_size)}
    found = await one(connection, Found[SystemLogLine], PAGES[_asked(wanted)], parameters)
    assert found is not None, "an aggregate gives one row"
    return Page(items=found.items, total=found.total, page=page, page_size=page_size)


async def system_log_after(
    connection: AsyncConnection[Any],
    wanted: LogFilter,
    cursor: LineCursor | None = None,
    *,
    limit: int,
) -> tuple[SystemLogLine, ...]:
    """The lines that follow ``cursor``, the oldest first."""
    after = cursor or _FIRST
    parameters = _parameters(wanted) | {
        "logged_at": after.logged_at,
        "line_id": after.line_id,
        "limit": limit,
    }
    found = await one(connection, tuple[SystemLogLine, ...], AFTERS[_asked(wanted)], parameters)
    assert found is not None, "an aggregate gives one row"
    return found


def _asked(wanted: LogFilter) -> Asked:
    return (
        wanted.level is not None,
        wanted.start_date is not None,
        wanted.end_date is not None,
        bool(wanted.search),
    )


def _parameters(wanted: LogFilter) -> dict[str, Any]:
    end = wanted.end_date
    return {
        "level": wanted.level,
        "start": wanted.start_date,
        "end": None if end is None else end + timedelta(days=1),
        "pattern": pattern_of(wanted.search or ""),
    }


def pattern_of(search: str) -> str:
    """The pattern that finds ``search`` and nothing else."""
    escaped = search.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"
