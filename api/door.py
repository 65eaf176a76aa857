"""The outermost layer: every request comes in and every answer goes out here.

It gives each request its id, each answer its security headers, and the log one line; so even a
404 of no route and a crash have all three. Source of the headers: OWASP REST Security.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from api import access_log
from api.desk import Desk
from api.envelope import Failure
from api.exchange import Exchange
from api.headers_only import HeadersOnly, naming_head
from api.logging_setup import logger
from api.messages import ERRORS

SECURITY_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
NO_STORE: Final = (b"cache-control", b"no-store")
_NO_ADDRESS = re.compile(r"//|/\.\.?(?:/|\Z)|[\x00-\x1f\x7f\\]")
_NO_METHOD: Final = 405
_QUIET: Final = ("/health/", "/metrics")
_NUMBER_OR_ID = re.compile(r"\d{1,10}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TYPED: Final = "*"
Headers: TypeAlias = list[tuple[bytes, bytes]]
_log = logger(access_log.ACCESS)


class Door:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, desk: Desk, methods: Mapping[str, bytes]) -> None:
        self._app = app
        self._desk = desk
        self._methods = methods
        self._words = {word for path in methods for word in path.split("/") if "{" not in word}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request in and its answer out."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        method, path = str(scope["method"]), str(scope["path"])
        if method == "HEAD":
            head = HeadersOnly(scope, send)
            scope, receive, send = head.scope, head.receive, head.send
        if _NO_ADDRESS.search(path):
            scope["path"] = "/-"  # no route has this name: the usual 404
        exchange = Exchange(self._desk, scope)
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = _headers(exchange, list(message["headers"]))
                tells_methods = method == "OPTIONS" or status == _NO_METHOD
                message["headers"] = (
                    self._allowing(scope, headers) if tells_methods else headers
                )
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            _log.error("crash", request_id=exchange.request_id, exc_info=error)
            if status:
                raise  # the answer has begun: only breaking off tells the client
            await _crash(exchange, answer)
        finally:
            exchange.leave()
            _note(exchange, method, path, status, as_path=self._anonymous(path))
            exchange.end()

    def _anonymous(self, path: str) -> str:
        """The address in words of the platform, ids and numbers: the rest may name somebody."""
        return "/".join(
            part if part in self._words or _NUMBER_OR_ID.fullmatch(part) else _TYPED
            for part in path.split("/")
        )

    def _allowing(self, scope: Scope, headers: Headers) -> Headers:
        """Litestar tells of an address only what the module says that brought it first."""
        methods = self._methods.get(str(scope.get("path_template")))
        return [
            (name, naming_head(methods or value) if name.lower() == b"allow" else value)
            for name, value in headers
        ]


def _headers(exchange: Exchange, headers: Headers) -> Headers:
    names = {name for name, _ in headers}
    headers.append((b"x-request-id", exchange.request_id.encode()))
    headers.extend(header for header in SECURITY_HEADERS if header[0] not in names)
    if NO_STORE[0] not in names:
        headers.append(NO_STORE)
    headers.extend(exchange.headers)
    return headers


async def _crash(exchange: Exchange, send: Send) -> None:
    body = msgspec.json.encode(
        Failure(
            message=ERRORS["INTERNAL_ERROR"].in_language(exchange.language),
            error_code="INTERNAL_ERROR",
            details={"request_id": exchange.request_id},
        )
    )
    await send(
        {
            "type": "http.response.start",
            "status": 500,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _note(exchange: Exchange, method: str, path: str, status: int, *, as_path: str) -> None:
    seconds = time.perf_counter() - exchange.began
    scope: Any = exchange.scope
    exchange.desk.metrics.note(method, scope.get("path_template"), status, seconds)
    if path.startswith(_QUIET):
        return
    principal = exchange.principal
    access_log.note(
        access_log.Request(
            method=method,
            path=as_path,
            status=status,
            duration_ms=round(seconds * 1000, 2),
            request_id=exchange.request_id,
            user_id=str(principal.user_id) if principal else None,
        )
    )


def wrap(app: Any, desk: Desk) -> None:
    """Put the door in front of a Litestar application."""
    methods = {route.path_format: ", ".join(sorted(route.methods)) for route in app.routes}
    allowed = {path: names.encode() for path, names in methods.items()}
    app.asgi_handler = Door(app.asgi_handler, desk, allowed)
