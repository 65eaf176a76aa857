"""Asks the queries of a small farm whose story a test tells."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg


class Ask:
    """Projects what has happened on the farm, then asks."""

    def __init__(self, url: str, project: Callable[[], None]) -> None:
        self.url = url
        self._project = project

    def __call__(
        self, query: Callable[..., Awaitable[Any]], *arguments: Any, **named: Any
    ) -> Any:
        """What ``query`` answers to these arguments, a connection before them."""
        self._project()

        async def answered() -> Any:
            options = "-c timezone=UTC"
            async with await psycopg.AsyncConnection.connect(
                self.url, options=options
            ) as open_:
                return await query(open_, *arguments, **named)

        return asyncio.run(answered())
