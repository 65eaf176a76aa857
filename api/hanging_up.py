"""Answers that take long: ended when the client leaves, hung up on when it reads nothing.

ASGI has no message for breaking an answer off. The server that we start offers it as an
extension, so that the connection is gone, buffers included, before the application returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

from litestar.types import Receive, Scope, Send

from commands.loop import end

EXTENSION: Final = "owl.hang_up"
ABORT: Final = "abort"


class TooSlow(Exception):
    """The client took nothing for so long that the connection was cut."""


async def until_left(work: Awaitable[None], receive: Receive) -> None:
    """Do the work, or stop in the middle of it when the client leaves."""
    parts = {asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))}
    try:
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(parts)
    for part in done:
        part.result()


async def send_within(
    send: Send, body: bytes, slow_s: float, *, more_body: bool = True
) -> None:
    """Send a piece of the body.

    Raises:
        TooSlow: the client did not take it in time.
    """
    try:
        await asyncio.wait_for(
            send({"type": "http.response.body", "body": body, "more_body": more_body}), slow_s
        )
    except TimeoutError as error:
        raise TooSlow from error


async def hang_up(scope: Scope, receive: Receive) -> None:
    """Break the answer off and see the connection gone; other servers notice by themselves."""
    extensions: dict[str, Any] = scope.get("extensions") or {}
    if offered := extensions.get(EXTENSION):
        offered[ABORT]()
        await _left(receive)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
