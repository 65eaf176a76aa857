"""The agent's own warnings on their way to the platform's system log: best effort, bounded.

A processor of the log copies warnings and worse, without what is secret, into a short queue;
a loop sends them, a few at a time. Law: a line never waits, is never repeated, and no line is
worth a task: when there are too many, or no connection, lines are dropped and counted.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import Struct

from domain.fleet.messages import ENCODER, Logged, LogLine, report_subject

EVENT_MAX: Final = 200
VALUE_MAX: Final = 2_000
FIELDS_MAX: Final = 16
SECRET_MIN: Final = 6
"""Nothing shorter is looked for: it would be found in everything."""
REDACTED: Final = "[redacted]"
_LEVELS: Final[dict[str, Literal["WARNING", "ERROR", "CRITICAL"]]] = {
    "warning": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
    "critical": "CRITICAL",
}
_NOT_FIELDS: Final = frozenset({"event", "level", "timestamp"})
_PATTERNS: Final = (
    (re.compile(r"(?<=://)[^/@\s]*+@"), f"{REDACTED}@"),  # credentials in an address
    (re.compile(r"(?<=\w)\?[^\s'\"=]*+=[^\s'\"]*+"), f"?{REDACTED}"),  # a signed address
    (re.compile(r"\bS[ACNOUX][A-Z2-7]{56}\b"), REDACTED),  # an nkey seed
    (re.compile(r"\bowl1\.[\w-]++\.\d++\.[\w=-]++"), REDACTED),  # a sign-in at the broker
    (re.compile(r"\bowl_[0-9a-f]{32}_[\w-]++"), REDACTED),  # an enrolment token
)


class Config(Struct, frozen=True, kw_only=True):
    """Bounds: what waits, and what goes out how often."""

    waiting_max: int = 200
    together_max: int = 20
    every_s: float = 5.0


class LogTail:
    """The newest warnings of this agent. ``hide`` what must not be told, before `run`."""

    def __init__(self, config: Config | None = None) -> None:
        self._config = Config() if config is None else config
        self._waiting: deque[LogLine] = deque()
        self._secrets: list[str] = []
        self._dropped = 0

    def hide(self, secret: str) -> None:
        """Let no line say this, whoever writes it."""
        if len(secret) >= SECRET_MIN:
            self._secrets.append(secret)

    def __call__(
        self, _logger: Any, method: str, event: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Copy a warning; the structlog processor, after exceptions have become text."""
        level = _LEVELS.get(method)
        if level is None:
            return event
        if len(self._waiting) >= self._config.waiting_max:
            self._dropped += 1
            return event
        fields = [(name, value) for name, value in event.items() if name not in _NOT_FIELDS]
        line = LogLine(
            at=datetime.now(UTC),
            level=level,
            event=self._told(str(event.get("event", "")))[:EVENT_MAX],
            fields={
                self._told(name)[:EVENT_MAX]: _ends_of(self._told(str(value)))
                for name, value in fields[:FIELDS_MAX]
            },
        )
        self._waiting.append(line)
        return event

    async def run(
        self,
        publish: Callable[[str, bytes], Awaitable[bool]],
        *,
        server_id: UUID,
        clock: Callable[[], datetime],
        ids: Callable[[], UUID],
    ) -> None:
        """Send what there is, a few lines at a time, for ever."""
        while True:
            await self.step(publish, server_id=server_id, clock=clock, ids=ids)
            await asyncio.sleep(self._config.every_s)

    async def step(
        self,
        publish: Callable[[str, bytes], Awaitable[bool]],
        *,
        server_id: UUID,
        clock: Callable[[], datetime],
        ids: Callable[[], UUID],
    ) -> None:
        """Send the oldest lines; without a connection they wait."""
        if not self._waiting:
            return
        lines = tuple(self._waiting)[: self._config.together_max]
        logged = Logged(
            report_id=ids(),
            server_id=server_id,
            sent_at=clock(),
            lines=lines,
            dropped=self._dropped,
        )
        if await publish(report_subject(server_id, logged), ENCODER.encode(logged)):
            self._dropped -= logged.dropped
            for _ in lines:
                self._waiting.popleft()

    def _told(self, text: str) -> str:
        """``text`` without what is secret, in characters that can be sent."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        for pattern, put in _PATTERNS:
            text = pattern.sub(put, text)
        return text.encode("utf-8", "replace").decode()


def _ends_of(text: str) -> str:
    """At most so much, both ends kept: there stands what went wrong."""
    if len(text) <= VALUE_MAX:
        return text
    return f"{text[: VALUE_MAX // 4]} … {text[-VALUE_MAX * 3 // 4 :]}"
