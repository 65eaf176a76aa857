"""An outage in the log: said when it begins, again each minute, and when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import psycopg
import structlog

from domain.ports import OutOfReach

LOG = structlog.get_logger(__name__)

AGAIN_AFTER_S: Final = 60.0
_AWAY: Final = ("08", "57")
"""Classes of PostgreSQL's errors: the connection, and what an operator does to a server."""


def is_outage(error: BaseException) -> bool:
    """Whether the server cannot be reached just now, which is no defect of ours."""
    if isinstance(error, psycopg.OperationalError):
        return error.sqlstate is None or error.sqlstate.startswith(_AWAY)
    return isinstance(error, OutOfReach)


class Outage:
    """Of one thing, ``what``: its lines are ``what.out_of_reach`` and ``what.in_reach``."""

    def __init__(
        self, what: str, clock: Callable[[], float] = time.monotonic, **about: str
    ) -> None:
        self._begun, self._over = f"{what}.out_of_reach", f"{what}.in_reach"
        self._about = about
        self._clock = clock
        self._since: float | None = None
        self._said_at = 0.0

    def goes_on(self, error: BaseException) -> None:
        """It was tried in vain."""
        now = self._clock()
        if self._since is None:
            self._since = now
        elif now - self._said_at < AGAIN_AFTER_S:
            return
        self._said_at = now
        since_s = round(now - self._since, 1)
        LOG.warning(self._begun, **self._about, error=repr(error), for_s=since_s)

    def is_over(self) -> None:
        """It is there, as far as one knows."""
        if self._since is not None:
            after_s = round(self._clock() - self._since, 1)
            LOG.info(self._over, **self._about, after_s=after_s)
        self._since = None
