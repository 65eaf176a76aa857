"""What a body comes as: JSON, and not packed."""

from __future__ import annotations

from typing import Final

from api.exchange import Exchange
from api.messages import COMPRESSED
from api.rejection import Rejection

_JSON: Final = "application/json"


def check_media(exchange: Exchange) -> None:
    """Refuse what is no JSON, or is packed: a small body must not unfold into a huge one.

    Raises:
        Rejection: it is one of these.
    """
    if exchange.header("content-type").partition(";")[0].strip().lower() != _JSON:
        raise Rejection("UNSUPPORTED_MEDIA_TYPE")
    if exchange.header("content-encoding").strip().lower() not in {"", "identity"}:
        headers = {"Accept-Encoding": "identity"}
        raise Rejection("UNSUPPORTED_MEDIA_TYPE", message=COMPRESSED, headers=headers)
