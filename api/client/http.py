"""One session with the API: sends, repeats what is safe to repeat, says no in words.

A request that changes something carries an ``Idempotency-Key``, so that repeating it after a
lost answer is the same act. Reads ask for what this session has already seen written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import Any, Final, Self
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx

from api.settings import is_loopback

DEFAULT_API_URL: Final = "http://localhost:8000/api"
_TIMEOUT_S: Final = 30.0
_CONNECT_TIMEOUT_S: Final = 5.0
_TRIES: Final = 3
_PAUSE_S: Final = 0.2
"""Before the second try; each later one waits twice as long."""
_LONGEST_PAUSE_S: Final = 2.0
"""A ``Retry-After`` beyond it is told to the user instead of waited for."""
_NOT_NOW: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class ApiRefused(Exception):
    """The API said no: its status, code, sentence and details, and when to ask again."""

    def __init__(
        self, status: int, body: dict[str, Any], *, retry_after_s: float = 0.0
    ) -> None:
        self.status = status
        self.retry_after_s = retry_after_s
        self.code = str(body.get("error_code") or status)
        self.message = str(body.get("message") or HTTPStatus(status).phrase)
        details = body.get("details")
        self.details: dict[str, Any] = details if isinstance(details, dict) else {}
        super().__init__(f"{self.message} ({self.code})")


class ApiUnreachable(Exception):
    """Nothing that speaks the contract answers at the address."""


def api_url_of(text: str) -> str:
    """The API's address as somebody typed it: with or without ``/api`` at its end.

    Raises:
        ValueError: it is no http or https address.
    """
    parts = urlsplit(text.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{text!r} is no address such as {DEFAULT_API_URL}")
    path = parts.path.rstrip("/") or "/api"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _trusted_by(api_url: str) -> SSLContext | bool:
    """Whose certificates to accept: the world's, which take a while to read, or none at all."""
    return api_url.startswith("https:") or SSLContext(PROTOCOL_TLS_CLIENT)


class ApiClient:
    """One session at ``api_url``; ``token`` is from an earlier login."""

    def __init__(self, api_url: str, *, token: str = "", language: str = "en") -> None:
        self.api_url = api_url_of(api_url)
        self._http = httpx.AsyncClient(
            base_url=self.api_url,
            timeout=httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S),
            headers={"Accept-Language": language},
            verify=_trusted_by(self.api_url),
            # a proxy of the shell leads to the world, and must not stand before loopback
            trust_env=not is_loopback(urlsplit(self.api_url).hostname or ""),
        )
        if token:
            self._http.headers["Authorization"] = f"Bearer {token}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, path: str, **query: Any) -> Any:
        """The ``data`` of a GET; query values that are ``None`` are left out."""
        wanted = {name: value for name, value in query.items() if value is not None}
        return await self.call("GET", path, params=wanted)

    async def get_as_it_is(self, path: str) -> Any:
        """The same without waiting for what this session has written: it may be older."""
        return await self.call("GET", path, headers={"Owl-Min-Position": "0"})

    async def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The ``data`` of a POST, which happens once however often it is sent."""
        headers = {"Idempotency-Key": str(uuid4())}
        return await self.call("POST", path, json=body, headers=headers)

    async def call(self, method: str, path: str, **options: Any) -> Any:
        """The ``data`` of the answer.

        Raises:
            ApiRefused: the answer was not a success.
            ApiUnreachable: there was no answer, or not one of this API.
        """
        response = await self._sent(method, path, **options)
        body = _json_of(response, self.api_url)
        if not body.get("success"):
            raise _refusal(response, body)
        if seen := response.headers.get("Owl-Position"):
            self._http.headers["Owl-Min-Position"] = seen
        return body.get("data")

    async def log_in(self, email: str, password: str) -> dict[str, Any]:
        """Sign in; the session's calls carry the token from now on."""
        self._http.headers.pop("Authorization", None)
        data: dict[str, Any] = await self.post(
            "/auth/login", {"email": email, "password": password}
        )
        self._http.headers["Authorization"] = f"Bearer {data['access_token']}"
        return data

    async def download(self, path: str) -> AsyncIterator[bytes]:
        """The bytes behind ``path``, in pieces.

        Raises:
            ApiRefused: there is nothing to be had.
            ApiUnreachable: the connection broke.
        """
        try:
            async with self._http.stream("GET", path) as response:
                if response.is_error:
                    await response.aread()
                    raise _refusal(response, _json_of(response, self.api_url))
                async for piece in response.aiter_bytes():
                    yield piece
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    async def _sent(self, method: str, path: str, **options: Any) -> httpx.Response:
        # a DELETE whose answer was lost would be told that there is nothing to delete
        tries = 1 if method == "DELETE" else _TRIES
        for number in range(1, tries + 1):
            pause_s = _PAUSE_S * 2 ** (number - 1)
            try:
                response = await self._http.request(method, path, **options)
            except httpx.TransportError as error:
                if number == tries:
                    raise self._unreachable(error) from error
            else:
                if number == tries or response.status_code not in _NOT_NOW:
                    return response
                pause_s = max(pause_s, _retry_after_s(response))
                if pause_s > _LONGEST_PAUSE_S:
                    return response
            await asyncio.sleep(pause_s)
        raise AssertionError("the last try returns or raises")

    def _unreachable(self, error: httpx.TransportError) -> ApiUnreachable:
        why = str(error) or type(error).__name__
        return ApiUnreachable(
            f"the API at {self.api_url} does not answer ({why}): is it running, and is that"
            " its address? `owl up` runs one here; --api or OWL_API_URL names another"
        )


def _refusal(response: httpx.Response, body: dict[str, Any]) -> ApiRefused:
    return ApiRefused(response.status_code, body, retry_after_s=_retry_after_s(response))


def _json_of(response: httpx.Response, api_url: str) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or "success" not in body:
        raise ApiUnreachable(
            f"another program answers at {api_url} ({response.status_code}, not as the API"
            " does): `owl up` says which port its API got; --api or OWL_API_URL names it"
        )
    return body


def _retry_after_s(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0
