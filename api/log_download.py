"""A log as a file: lines in order, a bounded part at a time, as NDJSON or as CSV.

Log text is data from anywhere. In CSV a cell that a spreadsheet would take for a formula is
disarmed (CWE-1236) and a line break is written out, so that one line stays one (CWE-117).
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection

from api.exchange import Exchange
from api.fields import YEARS
from api.log_shapes import (
    ActionLine,
    DayTaskLine,
    SystemLine,
    action_line,
    day_task_line,
    system_line,
)
from api.messages import Fault
from api.reading import reading
from api.system_log_lines import Level
from api.system_log_pages import LineCursor, LogFilter, system_log_after
from api.validation import Faults
from domain.errors import NotFound
from projections.task_log_days import task_lines_of_days
from projections.task_logs import LogCursor, log_after
from projections.user_action_pages import ActionCursor, user_actions_after
from projections.users import user_by_id

LogType = Literal["system", "user_actions", "tasks"]
Format = Literal["ndjson", "csv"]
Part = AsyncIterator[list[Any]]

LINES_AT_ONCE: Final = 1_000
DAYS_MAX: Final = 92
ALL_DAYS: Final = (date(YEARS[0], 1, 1), date(YEARS[-1], 12, 31))
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_BOM: Final = "\ufeff"
"""Without it a spreadsheet takes Chinese for another encoding."""
MEDIA_TYPES: Final[dict[Format, str]] = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
}
LINES: Final[dict[LogType, type[Struct]]] = {
    "system": SystemLine,
    "user_actions": ActionLine,
    "tasks": DayTaskLine,
}
ONLY_FOR: Final[dict[str, LogType]] = {
    "level": "system",
    "search": "system",
    "user_id": "user_actions",
    "task_id": "tasks",
}


class Download(Struct, frozen=True, kw_only=True):
    """Which lines; days are UTC days, both included."""

    log_type: LogType
    start_date: date
    end_date: date
    level: Level | None = None
    search: str | None = None
    user_id: UUID | None = None
    task_id: UUID | None = None

    @property
    def name(self) -> str:
        """What the file is called, without its ending; of what a client wrote only an id."""
        parts = ["owl", self.log_type]
        if self.task_id is not None:
            parts.append(str(self.task_id))
        if (self.start_date, self.end_date) != ALL_DAYS:
            days = {self.start_date.isoformat(), self.end_date.isoformat()}
            parts.append("-to-".join(sorted(days)))
        return "-".join(parts)


def faults_of_list(given: Mapping[str, Any], _now: datetime) -> Faults:
    """Days of a list that are none of this century, or stand in the wrong order."""
    return _faults_of_days(given.get("start_date"), given.get("end_date"))


def faults_of_download(given: Mapping[str, Any], now: datetime) -> Faults:
    """The same of a file; and filters of another log, a day beside a span, too long a span."""
    log_type = given.get("log_type")
    faults: Faults = {
        name: [Fault("other_log", {"log_type": of})]
        for name, of in ONLY_FOR.items()
        if log_type is not None and given.get(name) is not None and of != log_type
    }
    day, start, end = (given.get(name) for name in ("date", "start_date", "end_date"))
    if day is not None and (start or end):
        return {"date": [Fault("date_or_span")]} | faults
    if day is not None:
        return faults if day.year in YEARS else {"date": [Fault("year")]} | faults
    return _faults_of_days(*days_of(None, start, end, now.date()), days_max=DAYS_MAX) | faults


async def check_there_is(exchange: Exchange, wanted: Download) -> None:
    """Whose log it is must be there; a deleted task is, for its log outlives it.

    Raises:
        NotFound: no such task or user.
    """
    async with exchange.reading() as connection:
        if wanted.task_id is not None:
            first = _before(ALL_DAYS[0])
            if not await log_after(connection, wanted.task_id, first, limit=1):
                raise NotFound
        if wanted.user_id is not None:
            await check_user(connection, wanted.user_id)


async def check_user(connection: AsyncConnection[Any], user_id: UUID) -> None:
    """Refuse whom nobody knows, who is a slip of the finger and not without actions.

    Raises:
        NotFound: no such user.
    """
    if await user_by_id(connection, user_id) is None:
        raise NotFound


def days_of(
    day: date | None, start: date | None, end: date | None, today: date
) -> tuple[date, date]:
    """The first and the last day of a file, of what was asked for."""
    first = day or start or (_as_far_back_as_may_be(end) if end else today)
    return first, day or end or max(first, today)


def _faults_of_days(
    start_date: date | None, end_date: date | None, *, days_max: int | None = None
) -> Faults:
    """What is wrong with a span of days, of which both ends may be open."""
    faults: Faults = {
        name: [Fault("year")]
        for name, day in (("start_date", start_date), ("end_date", end_date))
        if day is not None and day.year not in YEARS
    }
    if faults or start_date is None or end_date is None:
        return faults
    if end_date < start_date:
        return {"end_date": [Fault("before_start")]}
    if days_max is not None and end_date - start_date >= timedelta(days=days_max):
        return {"end_date": [Fault("too_many_days", {"limit": days_max})]}
    return {}


def _as_far_back_as_may_be(end_date: date) -> date:
    """The first day of the longest span that ends on this one."""
    first = date(YEARS[0], 1, 1)
    if end_date - first < timedelta(days=DAYS_MAX):
        return min(first, end_date)
    return end_date - timedelta(days=DAYS_MAX - 1)


async def file_of(exchange: Exchange, wanted: Download, form: Format) -> AsyncIterator[bytes]:
    """The file, a part at a time."""
    columns = LINES[wanted.log_type].__struct_fields__
    head = (_BOM + _rows([columns])).encode() if form == "csv" else b""
    async for lines in _parts(exchange, wanted):
        if form == "csv":
            body = _rows(_cells(line, columns) for line in lines).encode()
        else:
            body = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        yield head + body
        head = b""
    if head:
        yield head


def _parts(exchange: Exchange, wanted: Download) -> Part:
    if wanted.log_type == "system":
        return _system(exchange, wanted)
    if wanted.log_type == "user_actions":
        return _actions(exchange, wanted)
    if wanted.task_id is not None:
        return _task(exchange, wanted.task_id, wanted)
    return _tasks(exchange, wanted)


async def _system(exchange: Exchange, wanted: Download) -> Part:
    lines_of = LogFilter(
        level=wanted.level,
        start_date=wanted.start_date,
        end_date=wanted.end_date,
        search=wanted.search,
    )
    cursor: LineCursor | None = None
    while True:
        async with _reading(exchange) as connection:
            found = await system_log_after(connection, lines_of, cursor, limit=LINES_AT_ONCE)
        if not found:
            return
        cursor = found[-1].cursor
        yield [system_line(line) for line in found]


async def _actions(exchange: Exchange, wanted: Download) -> Part:
    cursor: ActionCursor | None = None
    while True:
        async with _reading(exchange) as connection:
            found = await user_actions_after(
                connection,
                cursor,
                user_id=wanted.user_id,
                start_date=wanted.start_date,
                end_date=wanted.end_date,
                limit=LINES_AT_ONCE,
            )
        if not found:
            return
        cursor = found[-1].cursor
        yield [action_line(action, exchange.language) for action in found]


async def _tasks(exchange: Exchange, wanted: Download) -> Part:
    days = task_lines_of_days(lambda: _reading(exchange), wanted.start_date, wanted.end_date)
    async for found in days:
        yield [day_task_line(line, line.task_id, exchange.language) for line in found]


async def _task(exchange: Exchange, task_id: UUID, wanted: Download) -> Part:
    cursor = _before(wanted.start_date)
    end = datetime.combine(wanted.end_date + timedelta(days=1), time(), UTC)
    while True:
        async with _reading(exchange) as connection:
            found = await log_after(connection, task_id, cursor, limit=LINES_AT_ONCE)
        lines = [line for line in found if line.recorded_at < end]
        if lines:
            yield [day_task_line(line, task_id, exchange.language) for line in lines]
        if not found or len(lines) < len(found):
            return
        cursor = found[-1].cursor


def _before(day: date) -> LogCursor:
    """The place before the day's first line."""
    return LogCursor(datetime.combine(day, time(), UTC), 0, 0, 0)


def _reading(exchange: Exchange) -> Any:
    """A connection for one part; the deadline of a request is not that of a long file."""
    platform = exchange.platform
    return reading(platform.pool, platform.config.read_deadline_s)


def _cells(line: Struct, columns: Iterable[str]) -> list[str]:
    values = msgspec.to_builtins(line)
    return [cell(values[column]) for column in columns]


def cell(value: Any) -> str:
    """A value as text in a spreadsheet: nothing is run, nothing breaks the line."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if isinstance(value, str) and text.startswith(_FORMULA):
        text = f"'{text}"
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _rows(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()
