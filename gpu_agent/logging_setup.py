"""The agent's log: lines for a terminal, JSON for a collector. Set up by ``__main__``."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog

from gpu_agent.log_tail import LogTail

LogFormat = Literal["auto", "json", "text"]


def set_up_logging(log_format: LogFormat, tail: LogTail) -> None:
    """Log to stderr, and warnings to ``tail``; ``auto`` is text on a terminal, else JSON."""
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    last: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if as_text
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            tail,
            last,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # nats-py logs each failed reconnect with its traceback; what matters we log ourselves
    logging.getLogger("nats").setLevel(logging.CRITICAL)
