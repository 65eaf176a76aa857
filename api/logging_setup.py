"""How this process writes its log: JSON for machines, plain lines for a person's terminal.

Library loggers run through the same chain; no e-mail, password or token is ever passed to it.
"""

from __future__ import annotations

import logging
import sys
from typing import IO, Any

import structlog
from structlog.typing import Processor

from api.settings import Settings

_WITHOUT_LOCALS = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
"""A frame's variables may hold passwords, tokens and e-mail addresses."""
_QUIET = ("uvicorn.access", "nats", "httpx", "httpcore", "psycopg.pool")
"""Loggers whose own lines repeat what we log better."""


def set_up_logging(settings: Settings, *, program: str, stream: IO[str] | None = None) -> None:
    """Configure structlog and the standard library's loggers for this process."""
    target = stream or sys.stderr
    as_text = settings.log_format == "text" or (
        settings.log_format == "auto" and stream is None and target.isatty()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=target.isatty())]
        if as_text
        else [
            structlog.processors.ExceptionRenderer(_WITHOUT_LOCALS),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(program=program)


def logger(name: str) -> Any:
    """A bound logger for a module of this room."""
    return structlog.stdlib.get_logger(name)
