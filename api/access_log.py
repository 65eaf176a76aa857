"""One line a request: made of a struct, written in one go, since every request has one.

It skips the processors that other lines run through; what they would redact is looked for here
in the only two texts that a client chooses.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from api.redaction import redacted

ACCESS: Final = "api.access"

_LOGGER: Final = logging.getLogger(ACCESS)
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER: Final = "*"
_PLAIN = re.compile(r"(?:(?!owl)[/a-z0-9_-])*")
"""What no pattern of ``redaction`` can be found in."""


class Request(Struct, gc=False):
    """What is said of a request that was answered; ``user_id`` is who asked, if known."""

    method: str
    path: str
    status: int
    duration_ms: float
    request_id: str
    user_id: str | None


class _Line(Struct, gc=False):
    event: str
    method: str
    path: str
    status: int
    duration_ms: float
    request_id: str
    user_id: str | None
    logger: str
    level: str
    timestamp: datetime
    program: str


def note(request: Request) -> None:
    """Write the line, to wherever this process writes its log."""
    if _LOGGER.isEnabledFor(logging.INFO):
        # a record made by hand: nobody wants to know from which line of code it comes
        _LOGGER.handle(logging.LogRecord(ACCESS, logging.INFO, "", 0, request, None, None))


def written(request: Request, record: logging.LogRecord, program: str) -> str:
    """The line as JSON."""
    return msgspec.json.encode(_line(request, record, program)).decode()


def event_of(request: Request, record: logging.LogRecord, program: str) -> dict[str, Any]:
    """The line as its fields, for a renderer."""
    fields = msgspec.structs.asdict(_line(request, record, program))
    return fields | {"timestamp": f"{fields['timestamp']:%Y-%m-%dT%H:%M:%S.%fZ}"}


def _line(request: Request, record: logging.LogRecord, program: str) -> _Line:
    return _Line(
        event="request",
        method=request.method if request.method in METHODS else OTHER,
        path=_clean(request.path),
        status=request.status,
        duration_ms=request.duration_ms,
        request_id=_clean(request.request_id),
        user_id=request.user_id,
        logger=ACCESS,
        level="info",
        timestamp=datetime.fromtimestamp(record.created, UTC),
        program=program,
    )


def _clean(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else redacted(text)
