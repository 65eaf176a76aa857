"""A line of the system log: what is kept of a log record, and how much of it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from structlog.typing import EventDict

from commands.agent_log import LOGGER, PROGRAM

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]

TEXT_MAX: Final = 4_000
VALUE_MAX: Final = 8_000
_COLUMNS: Final = ("level", "logger", "timestamp", "program")


class Line(Struct, frozen=True, kw_only=True):
    """One row."""

    logged_at: datetime
    level: Level
    program: str
    logger: str
    event: str
    request_id: str | None
    message: str
    fields: dict[str, Any]


def line_of(record: logging.LogRecord, event: EventDict, program: str) -> Line:
    """The line of a record, of which ``event`` was made."""
    rest = {str(name): value for name, value in event.items() if name not in _COLUMNS}
    said = short(str(rest.pop("event", "")), TEXT_MAX)
    request_id = rest.pop("request_id", None)
    fields = {name: _plain(value) for name, value in rest.items()}
    return Line(
        logged_at=datetime.fromtimestamp(record.created, UTC),
        level=level_of(record.levelno),
        program=PROGRAM if record.name == LOGGER else program,
        logger=record.name,
        event=said,
        request_id=None if request_id is None else str(request_id),
        message=short(_rendered(said, request_id, fields), TEXT_MAX),
        fields=fields,
    )


def short(text: str, most: int) -> str:
    """At most so many characters, the ends of a text kept: there stands what went wrong."""
    if len(text) <= most:
        return text
    return f"{text[: most // 4]} … {text[-(most * 3 // 4 - 3) :]}"


def level_of(levelno: int) -> Level:
    """The published name of a level, whatever a library calls its own."""
    if levelno >= logging.CRITICAL:
        return "CRITICAL"
    if levelno >= logging.ERROR:
        return "ERROR"
    if levelno >= logging.WARNING:
        return "WARNING"
    return "INFO" if levelno >= logging.INFO else "DEBUG"


def _rendered(event: str, request_id: object, fields: dict[str, Any]) -> str:
    """The line as a person reads it, and as it is searched."""
    parts = [event]
    if request_id is not None:
        parts.append(f"request_id={request_id}")
    parts += [f"{name}={value}" for name, value in fields.items() if name != "exception"]
    exception = fields.get("exception")
    if isinstance(exception, str):
        parts.append(exception.strip().rpartition("\n")[2])
    return " ".join(parts)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return short(value, VALUE_MAX)
    plain = msgspec.to_builtins(value, enc_hook=repr, str_keys=True)
    text = msgspec.json.encode(plain).decode()
    return plain if len(text) <= VALUE_MAX else short(text, VALUE_MAX)
