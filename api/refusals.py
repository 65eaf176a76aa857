"""Which error codes a route can answer, for whoever reads its description.

What follows from a route's shape (a token, a role, a body, an id in the path) is derived; what
only the domain knows, the route says with ``refuses``.
"""

from __future__ import annotations

from typing import Any, Final

from litestar.handlers import HTTPRouteHandler

from api.crowding import at_once_of
from api.policy import Policy, policy_of

_REFUSALS: Final = "refusals"


def refuses(*codes: str) -> dict[str, Any]:
    """For ``opt``: codes that this route answers beyond those that its shape tells."""
    return {_REFUSALS: codes}


def codes_of(handler: HTTPRouteHandler, *, path_parameters: bool) -> tuple[str, ...]:
    """Every error code that a route can answer."""
    policy = policy_of(handler)
    is_post = "POST" in handler.http_methods
    found = list(handler.opt.get(_REFUSALS, ()))
    if policy is not Policy.PUBLIC:
        found.append("INVALID_CREDENTIALS")
    if policy not in {Policy.PUBLIC, Policy.ANYONE}:
        found.append("ACCESS_DENIED")
    if path_parameters:
        found.append("RESOURCE_NOT_FOUND")
    if "GET" not in handler.http_methods:  # a body may be sent where none is taken, too
        found += ["PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"]
    found.append("VALIDATION_ERROR")
    if is_post:
        found.append("IDEMPOTENCY_MISMATCH")
    if at_once_of(handler.opt):
        found.append("RATE_LIMITED")
    found += ["INTERNAL_ERROR", "SERVER_UNAVAILABLE"]
    return tuple(dict.fromkeys(found))
