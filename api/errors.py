"""Every way to say no, in one envelope: refusals, bad requests, unreachable stores, defects.

This table alone maps error codes to statuses. A defect answers 500 with the request id and
nothing else; why it happened stands in the log under that id.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.response.base import ASGIResponse
from litestar.types import ExceptionHandlersMap, Receive, Scope, Send

from api.envelope import Failure
from api.exchange import Exchange
from api.logging_setup import logger
from api.messages import ERRORS, NO_SUCH_ADDRESS, REASONS, Fault, Language, Text, sentence
from api.passwords import PasswordsBusy
from api.query import faults_of_query, handler_of
from api.rejection import Further, InvalidRequest, Rejection
from api.validation import Faults
from domain.errors import InvalidInput, RateLimited, Refused
from domain.ports import OutOfReach

STATUSES: Final[dict[str, int]] = {
    "BAD_REQUEST": 400,
    "INSUFFICIENT_BALANCE": 400,
    "INVALID_CREDENTIALS": 401,
    "ACCESS_DENIED": 403,
    "RESOURCE_NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "CONFLICT": 409,
    "INVALID_STATE": 409,
    "EMAIL_TAKEN": 409,
    "USERNAME_TAKEN": 409,
    "CODE_EXPIRED": 409,
    "CODE_EXHAUSTED": 409,
    "CODE_REVOKED": 409,
    "CODE_ALREADY_REDEEMED": 409,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "VALIDATION_ERROR": 422,
    "IDEMPOTENCY_MISMATCH": 422,
    "TASK_LIMIT_EXCEEDED": 429,
    "RATE_LIMITED": 429,
    "INTERNAL_ERROR": 500,
    "SERVER_UNAVAILABLE": 503,
}
_CODES_BY_STATUS: Final[dict[int, str]] = {
    400: "BAD_REQUEST",
    401: "INVALID_CREDENTIALS",
    403: "ACCESS_DENIED",
    404: "RESOURCE_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "RATE_LIMITED",
    503: "SERVER_UNAVAILABLE",
}
_LEFT_EARLY: Final = "client disconnected prematurely"
"""What Litestar says of a body that does not come to its end; it has no type of its own."""
MAINTENANCE_RETRY_S: Final = 60
OUTAGE_RETRY_S: Final = 1
_log = logger(__name__)


def failure(
    exchange: Exchange,
    code: str,
    *,
    text: Text | None = None,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[Failure]:
    """The answer for an error code."""
    return Response(
        Failure(
            message=(text or ERRORS[code]).in_language(exchange.language),
            error_code=code,
            details=details or {},
        ),
        status_code=STATUSES[code],
        headers=dict(headers or {}),
    )


def shown_faults(faults: Faults, language: Language) -> dict[str, list[str]]:
    """The sentences for each field."""
    return {
        field: [sentence(field, fault, language) for fault in found]
        for field, found in faults.items()
    }


def on_rejection(request: Request[Any, Any, Any], error: Rejection) -> Response[Failure]:
    """What the HTTP side said no to."""
    exchange = Exchange.of(request.scope)
    details = error.details
    if isinstance(error, InvalidRequest):
        if error.further is not None:
            return _Judged(exchange, error.faults, error.further)
        details = {"field_errors": shown_faults(error.faults, exchange.language)}
    return failure(
        exchange, error.code, text=error.message, details=details, headers=error.headers
    )


class _Judged(Response[Failure]):
    """A refusal that the domain is heard about first: the log may have to be asked."""

    def __init__(self, exchange: Exchange, faults: Faults, further: Further) -> None:
        super().__init__(Failure(message="", error_code="VALIDATION_ERROR", details={}))
        self._exchange, self._faults, self._further = exchange, faults, further

    def to_asgi_response(
        self, app: Any, request: Request[Any, Any, Any], **options: Any
    ) -> ASGIResponse:
        """The answer, which is known when it is sent."""

        async def whole() -> ASGIResponse:
            known = on_rejection(request, InvalidRequest(await self._all()))
            return known.to_asgi_response(app, request, **options)

        return _Later(whole)

    async def _all(self) -> Faults:
        """What is known to be wrong, if a store is out of reach; else all."""
        try:
            return await self._further(self._exchange) | self._faults
        except OutOfReach:
            return self._faults


class _Later(ASGIResponse):
    """An answer that has to be waited for."""

    def __init__(self, whole: Callable[[], Awaitable[ASGIResponse]]) -> None:
        super().__init__(status_code=STATUSES["VALIDATION_ERROR"])
        self._whole = whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for it, then send it."""
        await (await self._whole())(scope, receive, send)


def on_refused(request: Request[Any, Any, Any], error: Refused) -> Response[Failure]:
    """What the domain said no to."""
    exchange = Exchange.of(request.scope)
    if isinstance(error, InvalidInput) and "field" in error.details:
        return on_rejection(request, InvalidRequest(faults_of_refusal(error)))
    headers: dict[str, str] = {}
    text = REASONS.get(error.reason)
    if error.code == "SERVER_UNAVAILABLE":
        headers["Retry-After"] = str(MAINTENANCE_RETRY_S)
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(error.details["retry_after_s"])
        text = text and text.filled(**error.details)
    if error.code == "INVALID_CREDENTIALS":
        headers["WWW-Authenticate"] = "Bearer"
    return failure(
        exchange,
        error.code,
        text=text,
        details=msgspec.to_builtins(dict(error.details)),
        headers=headers,
    )


def faults_of_refusal(error: InvalidInput) -> Faults:
    """The domain's word about a field, as a fault."""
    field = str(error.details["field"])
    if enabled := error.details.get("enabled"):
        return {field: [Fault("choice", {"choices": ", ".join(enabled)})]}
    if field == "expires_at":
        return {field: [Fault("past")]}
    return {field: [Fault("invalid")]}


def on_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[Failure]:
    """What Litestar itself says no to: no such route, wrong method, too large a body."""
    exchange = Exchange.of(request.scope)
    code = _CODES_BY_STATUS.get(error.status_code)
    if error.detail == _LEFT_EARLY:
        code = "BAD_REQUEST"  # nobody hears it, and it is no bug of ours
    if code is None:
        return on_defect(request, error)
    headers = {name.title(): value for name, value in (error.headers or {}).items()}
    text = NO_SUCH_ADDRESS if code == "RESOURCE_NOT_FOUND" else None
    return failure(exchange, code, text=text, headers=headers)


def on_validation(
    request: Request[Any, Any, Any], _error: ValidationException
) -> Response[Failure]:
    """A parameter that does not fit, or a body that is not there."""
    handler = handler_of(request.scope)
    faults = faults_of_query(request, handler) if handler else {}
    if not faults:
        faults = {"body": [Fault("body_empty")]}
    return on_rejection(request, InvalidRequest(faults))


def on_out_of_reach(request: Request[Any, Any, Any], error: Exception) -> Response[Failure]:
    """A store did not answer in time, or is gone: try again."""
    exchange = Exchange.of(request.scope)
    _log.warning("out_of_reach", request_id=exchange.request_id, cause=repr(error.__cause__))
    return failure(exchange, "SERVER_UNAVAILABLE", headers={"Retry-After": str(OUTAGE_RETRY_S)})


def on_defect(request: Request[Any, Any, Any], error: Exception) -> Response[Failure]:
    """A bug of ours."""
    exchange = Exchange.of(request.scope)
    _log.error("defect", request_id=exchange.request_id, exc_info=error)
    return failure(exchange, "INTERNAL_ERROR", details={"request_id": exchange.request_id})


EXCEPTION_HANDLERS: Final[ExceptionHandlersMap] = {
    Rejection: on_rejection,
    Refused: on_refused,
    ValidationException: on_validation,
    HTTPException: on_http,
    OutOfReach: on_out_of_reach,
    PasswordsBusy: on_out_of_reach,
    Exception: on_defect,
}
