"""Keeps secrets and e-mail addresses out of every log line, whoever wrote it.

Two nets: fields whose name says that they hold a secret, and texts that look like one. What
only its writer can know to be secret (a password in the middle of a sentence) is never passed
to a logger; ``tests/api/test_log_canary.py`` watches over that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final
from uuid import UUID

from structlog.typing import EventDict

REDACTED: Final = "[redacted]"
DEPTH_MAX: Final = 6
TEXT_MAX: Final = 16_384
"""A longer text is shown by its ends: there stands what went wrong."""
_TOO_DEEP: Final = "…"

_SECRET_NAME: Final = re.compile(
    r"(?:^|[_.\-])(?:passw(?:or)?d|passphrase|secret|token|authorization|cookie|credentials?"
    r"|seed|pepper|e_?mail|sealed|(?:private|signing|sealing|subject|api|request)_?key"
    r"|email_claim|code|symbols|jwt)s?(?:_hash|_hex|_text)?$",
    re.IGNORECASE,
)
_HARMLESS: Final = frozenset({"error_code", "status_code", "exit_code", "code_id"})

# Each of these reads a text once, whatever the text: a log line must not be a way to stop us.
_PATTERNS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"eyJ[\w-]{5,}+\.[\w-]++\.[\w-]*+"), REDACTED),  # a JWT
    (re.compile(r"(?i)\b(bearer|basic)\s++[\w.~+/=-]{6,}+"), rf"\1 {REDACTED}"),
    (re.compile(r"\$argon2\w*+\$[^\s'\"]++"), REDACTED),
    (re.compile(r"(?<=://)[^/@\s:]*+:[^/@\s]++@"), f"{REDACTED}@"),  # credentials in a URL
    (
        re.compile(
            r"(?i)\b((?:\w+_)?(?:password|pwd|secret|token))"
            r"[\"']?\s*+[=:]\s*+[\"']?[^\s,;&\"']++"
        ),
        rf"\1={REDACTED}",
    ),
    (
        re.compile(  # an e-mail address, as it is or in a URL
            r"(?<![\w.!#$&'*+/=?^`{|}~-])[\w.!#$&'*+/=?^`{|}~-]++"
            r"(?:@|%40)[\w-]++(?:\.[\w-]++)+"
        ),
        REDACTED,
    ),
    (re.compile(r"(?i)\bOWL(?:-?[0-9A-HJ-NP-Z]{4}){3}\b"), REDACTED),  # a recharge code
    (re.compile(r"\bS[ACNOUX][A-Z2-7]{56}\b"), REDACTED),  # an nkey seed
    (re.compile(r"\bowl1\.[\w-]++\.\d++\.[\w=-]++"), REDACTED),  # an agent's sign-in
    (re.compile(r"-----BEGIN [A-Z ]*+PRIVATE KEY-----.*", re.DOTALL), REDACTED),
)


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """The structlog processor: run it after exceptions have become text."""
    return dict(_redacted_field(name, value, 0) for name, value in event.items())


def redacted(text: str) -> str:
    """``text`` without what looks like a secret, in characters that any output takes."""
    if len(text) > TEXT_MAX:
        text = f"{text[: TEXT_MAX // 4]} … {text[-TEXT_MAX * 3 // 4 :]}"
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    for pattern, put in _PATTERNS:
        text = pattern.sub(put, text)
    return text


def _redacted_field(name: str, value: Any, depth: int) -> tuple[str, Any]:
    if value is None or isinstance(value, bool):
        return redacted(name), value
    shown = redacted(name)
    if shown != name or (name not in _HARMLESS and _SECRET_NAME.search(name)):
        return shown, REDACTED
    return shown, _redacted_value(value, depth)


def _redacted_value(value: Any, depth: int) -> Any:
    match value:
        case None | bool() | int() | float() | UUID() | date():
            return value
        case str():
            return redacted(value)
        case bytes():
            return REDACTED
        case _ if depth >= DEPTH_MAX:
            return _TOO_DEEP
        case Mapping():
            return dict(
                _redacted_field(str(name), inner, depth + 1) for name, inner in value.items()
            )
        case list() | tuple() | set() | frozenset():
            return [_redacted_value(inner, depth + 1) for inner in value]
        case _:
            return redacted(repr(value))
