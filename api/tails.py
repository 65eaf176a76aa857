"""How many may follow the log at once in a process, and the bounds that each keeps to."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import Struct

from api.rejection import Rejection

RETRY_AFTER_S: Final = 60


class Config(Struct, frozen=True, kw_only=True):
    """The bounds of tails."""

    most: int = 16
    """So many at once in a process."""
    pause_s: float = 0.05
    """Between two looks, so that a burst is read at once."""
    poll_s: float = 1.0
    """A look without a hint."""
    heartbeat_s: float = 15.0
    check_s: float = 5.0
    """So soon after a token has ended the tail ends."""
    most_s: float = 3_600.0
    """None goes on for longer, whatever is asked for."""
    slow_s: float = 20.0
    """A reader that takes nothing for so long is cut off."""
    together: int = 200
    piece_bytes: int = 64 << 10


class Tails:
    """The tails of one process."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self.ending = asyncio.Event()
        self.count = 0

    def end(self) -> None:
        """The process is about to go: every tail says so and ends."""
        self.ending.set()

    def take(self) -> None:
        """Take a place; whoever has one gives it back with ``leave``.

        Raises:
            Rejection: there is none.
        """
        if self.ending.is_set() or self.count >= self.config.most:
            raise Rejection("RATE_LIMITED", headers={"Retry-After": str(RETRY_AFTER_S)})
        self.count += 1

    def leave(self) -> None:
        """Give the place back."""
        self.count -= 1
