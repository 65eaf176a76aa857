"""The library's datastore and factory, opened by a libpq conninfo.

Of what the library reads from the process's environment one setting alone is heeded, and that
one is refused: it would lose events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from eventsourcing.persistence import BaseInfrastructureFactory, PersistenceError
from eventsourcing.postgres import PostgresDatastore, PostgresFactory
from eventsourcing.utils import Environment, strtobool
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from commands.event_log.failures import Busy, ConnectionLost, NotDurable, failure_of_error
from commands.event_log.recorder import EventRecorder
from domain.ports import OutOfReach

SCHEMA = "owl_log"
POOL_SIZE = 2
POOL_OVERFLOW = 8
CONNECT_TIMEOUT_S = 2.5
ANSWERS_WITHIN_S = 3
"""A host that is not there may answer nothing at all: libpq waits for it two minutes."""
RECONNECT_FOR_S = 1.0
"""Then whoever asks next has the pool try anew. Within one attempt its pauses double, for five
minutes: after a long outage the server would be back for minutes before it was asked."""
LOCK_TIMEOUT_S = 2.0
IDLE_IN_TRANSACTION_S = 5.0

CONFIGURE = """
    SELECT set_config('lock_timeout', %(lock_ms)s, false),
        set_config('idle_in_transaction_session_timeout', %(idle_ms)s, false),
        set_config('TimeZone', 'UTC', false)
"""
READ_DURABILITY = """
    SELECT name FROM pg_settings
    WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
    ORDER BY name
"""


class LogDatastore(PostgresDatastore):
    """A pool that connects by conninfo, so that TLS and all else of libpq's can be given."""

    def __init__(self, conninfo: str) -> None:
        super().__init__(
            *("", "", "", "", ""),  # where to connect: replaced below
            pool_size=POOL_SIZE,
            max_overflow=POOL_OVERFLOW,
            connect_timeout=CONNECT_TIMEOUT_S,
            idle_in_transaction_session_timeout=IDLE_IN_TRANSACTION_S,
            schema=SCHEMA,
        )
        self.pool.reconnect_timeout = RECONNECT_FOR_S
        self.pool.kwargs = {
            "connect_timeout": ANSWERS_WITHIN_S,
            **conninfo_to_dict(conninfo),
            "row_factory": dict_row,
        }

    def after_connect_func(self) -> Callable[[psycopg.Connection[Any]], None]:
        """What the pool does to each new connection."""
        limits = {
            "lock_ms": str(round(LOCK_TIMEOUT_S * 1000)),
            "idle_ms": str(round(IDLE_IN_TRANSACTION_S * 1000)),
        }

        def after_connect(connection: psycopg.Connection[Any]) -> None:
            connection.autocommit = True
            connection.execute(CONFIGURE, limits)

        return after_connect

    def register_type_adapters(self) -> None:
        """Nothing to do: our statements take arrays, not the library's composite type."""

    @contextmanager
    def reach(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection, for readers outside of the library.

        Raises:
            OutOfReach: there is none, or it was lost.
            LogFailure: the server refused what was asked.
        """
        try:
            with self.get_connection() as connection:
                yield connection
        except PersistenceError as error:
            cause = error.__cause__
            if not isinstance(cause, psycopg.Error):
                raise
            failure = failure_of_error(cause)
            if isinstance(failure, ConnectionLost | Busy):
                raise OutOfReach(str(failure)) from cause
            raise failure from cause


class LogFactory(PostgresFactory):
    """Binds our recorder to our tables, which ``migrate`` has made."""

    datastore: LogDatastore

    def __init__(self, env: Environment, conninfo: str) -> None:
        if strtobool(env.get(self.POSTGRES_ENABLE_DB_FUNCTIONS) or "no"):
            raise NotDurable(
                f"{self.POSTGRES_ENABLE_DB_FUNCTIONS} is set: with it the library appends"
                " without a lock, and readers of the log miss events for ever. Unset it."
            )
        BaseInfrastructureFactory.__init__(self, env)
        self.datastore = LogDatastore(conninfo)

    def application_recorder(self) -> EventRecorder:
        """The business log."""
        return EventRecorder(self.datastore, events_table_name="events")


def check_server(datastore: LogDatastore, *, require_durable: bool) -> None:
    """Find out before the first command whether the server is there and keeps its word.

    Raises:
        NotDurable: it acknowledges what it may lose; names the settings.
        OutOfReach: it is not there.
    """
    with datastore.reach() as connection:
        off = [row["name"] for row in connection.execute(READ_DURABILITY)]
    if off and require_durable:
        raise NotDurable(
            f"PostgreSQL runs with {' and '.join(off)} off: a crash would lose what users were"
            " told is done. Turn it on, or use this server for tests only."
        )
