"""What the HTTP side itself says no to, before any command is decided.

Beside these stand the domain's own refusals (``domain.errors.Refused``); ``api.errors`` answers
both in one envelope.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from api.messages import Text
from api.validation import Faults

Further: TypeAlias = Callable[[Any], Awaitable[Faults]]
"""What the domain has to say about the rest of a request; it is given the ``Exchange``."""


class Rejection(Exception):
    """An error code of the contract, with what the client is shown beside it."""

    def __init__(
        self,
        code: str,
        *,
        message: Text | None = None,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.details: Mapping[str, Any] = details or {}
        self.headers: Mapping[str, str] = headers or {}


class InvalidRequest(Rejection):
    """Fields are wrong; it names all of them, ``further`` those that only the domain judges."""

    def __init__(self, faults: Faults, further: Further | None = None) -> None:
        super().__init__("VALIDATION_ERROR")
        self.faults = faults
        self.further = further


class Unauthenticated(Rejection):
    """No token, or not a good one. The client is never told which (RFC 6750, section 3)."""

    def __init__(self, message: Text | None = None) -> None:
        super().__init__(
            "INVALID_CREDENTIALS", message=message, headers={"WWW-Authenticate": "Bearer"}
        )
