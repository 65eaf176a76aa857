"""The database before a program starts on it: waited for, then brought up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from commands.event_log.migrate import migrate
from domain.ports import OutOfReach
from projections.migrate import prepare

LOG = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S: Final = 3
RETRY_S: Final = 1.0
PATIENCE_S: Final = 10.0
"""How long a tool waits that somebody looks at."""
PASSING: Final = (
    "starting up",
    "shutting down",
    "recovery",
    "not yet accepting",
    "too many clients",
    "connection slots",
)
"""What a server says when it is only a matter of time."""


class DatabaseRefused(Exception):
    """The server is there and will never let us in: wrong name, user or password."""


async def prepare_database(
    database_url: str,
    *,
    stop: asyncio.Event | None = None,
    tell: Callable[[str], None] | None = None,
) -> bool:
    """Wait for the database, then bring log and read models up to date.

    With ``stop`` it waits for as long as it takes, or until that is set, and ``tell`` hears
    why; without, it gives up after ``PATIENCE_S``. Returns whether the database is ready.

    Raises:
        DatabaseRefused: waiting is of no use.
        OutOfReach: nobody answered in time.
    """
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    url = with_timeout(database_url)
    told = ""
    while True:
        try:
            await asyncio.to_thread(migrate, url)
            await asyncio.to_thread(prepare, url)
        except psycopg.OperationalError as error:
            why = str(error).strip()
            if is_final(why):
                raise DatabaseRefused(why) from error
            if stop is None and asyncio.get_running_loop().time() > deadline:
                raise OutOfReach(why) from error
        else:
            return True
        if why != told:
            LOG.warning("database.out_of_reach", error=why)
            if tell is not None:
                tell(f"waiting for the database: {why}")
            told = why
        if stop is None:
            await asyncio.sleep(RETRY_S)
        elif await _set_within(stop, RETRY_S):
            return False


def is_final(why: str) -> bool:
    """Whether the server answered, and will give the same answer for ever."""
    return "FATAL:" in why and not any(words in why for words in PASSING)


def with_timeout(database_url: str) -> str:
    """The URL with a limit on how long a connection may take, unless it has one."""
    if "connect_timeout" in conninfo_to_dict(database_url):
        return database_url
    return make_conninfo(database_url, connect_timeout=CONNECT_TIMEOUT_S)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
