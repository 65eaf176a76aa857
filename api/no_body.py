"""Routes that change something and take no body: one that is sent all the same is refused.

What it says would be ignored, and whoever sent it believes otherwise. Nothing and an empty
object say nothing, so both are let through, whatever they are called: plain clients send them.
"""

from __future__ import annotations

from typing import Any, Final

from litestar.connection import Request

from api.body import BodyReader, RequestBody, read_with_head
from api.body_media import check_media
from api.exchange import Exchange
from api.query import READS, handler_of

_EMPTY: Final = b"{}"


class NoBody(RequestBody):
    """No field at all."""


_READER: Final = BodyReader(NoBody)


async def refuse_body(request: Request[Any, Any, Any]) -> None:
    """Before a route: see to it that nothing is sent to one that takes nothing.

    Raises:
        Rejection: there is a body, and it is no JSON.
        InvalidRequest: it has fields; they are named with what is wrong with the query.
    """
    handler = handler_of(request.scope)
    is_read = request.scope["method"] in READS
    if is_read or handler is None or "data" in handler.parsed_fn_signature.parameters:
        return
    exchange = Exchange.of(request.scope)
    body = (await request.body()).strip() or _EMPTY
    if body != _EMPTY:
        check_media(exchange)
    read_with_head(_READER, body, exchange)
