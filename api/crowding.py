"""How much costly work one caller may have under way in a process at once.

What a request may cost is bounded where the cost is; this keeps one caller from taking all of
a bound that everybody shares: the queue of passwords, the connections for reading.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from domain.errors import RateLimited

_AT_ONCE: Final = "at_once"
_RETRY_S: Final = 1


def at_once(most: int) -> dict[str, Any]:
    """For ``opt``: so many requests of these routes one caller may have under way at once."""
    return {_AT_ONCE: most}


def at_once_of(opt: dict[str, Any]) -> int | None:
    """How many a route allows; ``None`` for those that cost little."""
    most: int | None = opt.get(_AT_ONCE)
    return most


class Crowd:
    """Who is inside, and how often; as large as the number of requests under way."""

    def __init__(self) -> None:
        self._inside: Counter[str] = Counter()

    def enter(self, caller: str, most: int) -> str:
        """Let a request in; gives what ``leave`` is to be told.

        Raises:
            RateLimited: the caller has as many under way as one may have.
        """
        place = f"{most} {caller}"
        if self._inside[place] >= most:
            raise RateLimited(_RETRY_S, "too many at once")
        self._inside[place] += 1
        return place

    def leave(self, place: str) -> None:
        """The request is over."""
        self._inside[place] -= 1
        if not self._inside[place]:
            del self._inside[place]
