"""Refusals: the domain said no, and why.

A refusal is an answer, not a failure: it leaves no trace in the log and is mapped once, in
``api``, to the HTTP status of its code. Codes are those of the published contract; messages are
written there too, in Chinese and English.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias

Excess: TypeAlias = Literal[
    "too many wrong tries", "too many registrations", "too many at once"
]


class Refused(Exception):
    """The base of all refusals. ``details`` are shown to the client as they are."""

    code: ClassVar[str] = "INVALID_STATE"

    def __init__(self, reason: str = "", **details: Any) -> None:
        super().__init__(reason or type(self).__doc__ or self.code)
        self.reason = reason or type(self).__name__
        self.details: Mapping[str, Any] = details


class NotFound(Refused):
    """There is no such thing, or it is not yours to see."""

    code = "RESOURCE_NOT_FOUND"


class Denied(Refused):
    """The actor may not do this."""

    code = "ACCESS_DENIED"


class InvalidState(Refused):
    """The thing is not in a state that allows this."""

    code = "INVALID_STATE"


class InvalidInput(Refused):
    """A value that only the domain can judge is wrong; ``details["field"]`` names the field."""

    code = "VALIDATION_ERROR"


class Unavailable(Refused):
    """The platform does not take this now (maintenance)."""

    code = "SERVER_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the platform is in maintenance")


class IdempotencyMismatch(Refused):
    """The idempotency key was used before with another request."""

    code = "IDEMPOTENCY_MISMATCH"


class RateLimited(Refused):
    """Too much of it, of wrong tries mostly: wait ``retry_after_s`` seconds."""

    code = "RATE_LIMITED"

    def __init__(self, retry_after_s: int, reason: Excess = "too many wrong tries") -> None:
        super().__init__(reason, retry_after_s=retry_after_s)
