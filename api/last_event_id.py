"""The header that a client of server-sent events comes back with: the last ``id`` it read."""

from __future__ import annotations

import re
from typing import Final

from api.exchange import Exchange
from api.messages import Fault
from api.rejection import InvalidRequest

_LAST_EVENT_ID: Final = re.compile(r"[0-9]{1,18}")


def last_event_id(exchange: Exchange) -> int | None:
    """After what to go on, if it says so.

    Raises:
        InvalidRequest: no event had such an id.
    """
    given = exchange.header("last-event-id")
    if not given:
        return None
    if not _LAST_EVENT_ID.fullmatch(given):
        raise InvalidRequest({"Last-Event-ID": [Fault("want_int")]})
    return int(given)
