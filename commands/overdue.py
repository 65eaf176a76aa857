"""Ends what waits for a database that hangs.

A server that is frozen, or gone without a word, confirms no cancellation and heeds no timeout
of its own: what is overdue is ended by its wire, and fails as when the server had hung up.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from psycopg import AsyncConnection, Connection, OperationalError


def cut(connection: Connection[Any] | AsyncConnection[Any]) -> None:
    """End a statement by its wire; from any thread."""
    with (
        suppress(OSError, OperationalError),
        socket.socket(fileno=os.dup(connection.fileno())) as wire,
    ):
        wire.shutdown(socket.SHUT_RDWR)


@contextmanager
def ended_after(seconds: float, connection: Connection[Any]) -> Iterator[None]:
    """Cut the connection unless the block is left in time.

    It is watched from a thread, since at the end of a process event loops go first.

    Raises:
        psycopg.OperationalError: the connection was cut.
    """
    watch = threading.Timer(seconds, cut, (connection,))
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
