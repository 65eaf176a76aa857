"""How this process writes its log: JSON for machines, plain lines for a person's terminal.

Library loggers run through the same chain. No e-mail, password or token is ever passed to it;
``redaction`` is the net below, and tracebacks show no variables.
"""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any, Final

import structlog
from structlog.typing import Processor

from api import access_log
from api.redaction import redact
from api.settings import Settings

_QUIET: Final = {
    "uvicorn.access": logging.WARNING,
    "nats": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "psycopg.pool": logging.ERROR,  # a line for each try, however long an outage is
}
"""Loggers whose own lines repeat what we log better, and from where on they do not."""

_SHARED: Final[tuple[Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)


FILE_BYTES_MAX = 16 * 1024 * 1024
FILES_KEPT = 4


def set_up_logging(
    settings: Settings,
    *,
    program: str,
    stream: IO[str] | None = None,
    path: Path | None = None,
) -> None:
    """Configure structlog and the standard library's loggers for this process.

    The log goes to ``stream`` (standard error), or as JSON to ``path``, which is kept small.
    """
    target = stream or sys.stderr
    as_text = path is None and (
        settings.log_format == "text"
        or (settings.log_format == "auto" and stream is None and target.isatty())
    )
    last: Processor = (
        structlog.dev.ConsoleRenderer(
            colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if as_text
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    handler: logging.Handler = (
        logging.StreamHandler(target)
        if path is None
        else RotatingFileHandler(
            path, maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT, encoding="utf-8"
        )
    )
    handler.setLevel(settings.log_level)
    handler.setFormatter(Formatter(last, program=program, as_json=not as_text))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(program=program)


class Formatter(structlog.stdlib.ProcessorFormatter):
    """``formatter``, with the short way for the one line that every request writes."""

    def __init__(self, last: Processor, *, program: str, as_json: bool) -> None:
        super().__init__(foreign_pre_chain=_SHARED, processors=_written_by(last))
        self._last = last
        self._program = program
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        if not isinstance(record.msg, access_log.Request):
            return super().format(record)
        if self._as_json:
            return access_log.written(record.msg, record, self._program)
        event = access_log.event_of(record.msg, record, self._program)
        return str(self._last(None, "info", event))


def formatter(last: Processor) -> structlog.stdlib.ProcessorFormatter:
    """What makes a line of a record; ``last`` writes it, with everything redacted."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED, processors=_written_by(last)
    )


def _written_by(last: Processor) -> list[Processor]:
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact,
        last,
    ]


def logger(name: str) -> Any:
    """A bound logger for a module of this room."""
    return structlog.stdlib.get_logger(name)
