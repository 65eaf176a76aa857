"""A small client of the published contract, for the demonstration and the command line.

It knows only HTTP: what it can do, any client can.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Self
from uuid import uuid4

import httpx

_TIMEOUT_S = 30.0


class ApiRefused(Exception):
    """The API said no: its code, its sentence, its details."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status = status
        self.code = str(body.get("error_code") or status)
        self.details: dict[str, Any] = body.get("details") or {}
        super().__init__(f"{body.get('message')} ({self.code})")


class ApiClient:
    """One session at ``base_url`` (such as ``http://localhost:8000/api``)."""

    def __init__(self, base_url: str, *, language: str = "en") -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=_TIMEOUT_S,
            headers={"Accept-Language": language},
            trust_env=False,  # a proxy of the shell must not stand between us and loopback
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def call(self, method: str, path: str, **options: Any) -> Any:
        """The ``data`` of the answer.

        Raises:
            ApiRefused: the answer was not a success.
        """
        response = await self._http.request(method, path, **options)
        body = response.json()
        if not body.get("success"):
            raise ApiRefused(response.status_code, body)
        return body["data"]

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST with a key of its own, so that a repeat after a lost answer is the same act."""
        return await self.call(
            "POST", path, json=body, headers={"Idempotency-Key": str(uuid4())}
        )

    async def log_in(self, email: str, password: str) -> dict[str, Any]:
        """Sign in; the session's calls carry the token from now on."""
        data: dict[str, Any] = await self.post(
            "/auth/login", {"email": email, "password": password}
        )
        self._http.headers["Authorization"] = f"Bearer {data['access_token']}"
        return data

    async def download(self, path: str) -> AsyncIterator[bytes]:
        """The bytes behind ``path``, in pieces."""
        async with self._http.stream("GET", path) as response:
            if response.is_error:
                await response.aread()
                raise ApiRefused(response.status_code, response.json())
            async for piece in response.aiter_bytes():
                yield piece
