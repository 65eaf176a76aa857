"""uvicorn, started by us: one process, a bounded farewell, no log lines of its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from litestar import Litestar

GOODBYE_S = 5
BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """A bound socket, so that a taken port is known before anything else starts.

    Raises:
        OSError: somebody else listens there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # without the protocol's number asyncio leaves Nagle on: 40 ms more for each answer
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


class HttpServer(uvicorn.Server):
    """Leaves signals to the program that owns it."""

    def __init__(self, app: Litestar) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=True,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=GOODBYE_S,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none: the program stops us by ``should_exit``."""
        yield
