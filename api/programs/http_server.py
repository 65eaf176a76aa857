"""uvicorn, started by us: one process, a bounded farewell, no log lines of its own."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network, ip_network

import uvicorn
from litestar import Litestar

from api.programs.http_protocol import BoundedProtocol

GOODBYE_S = 5
BACKLOG = 2048
KEPT_OPEN_S = 75
"""Longer than clients and proxies keep a connection that nothing goes over, a minute at most as
they come: it is they who have to close it. What is sent while the server does has no answer."""


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
    """Leaves signals to the program that owns it.

    Of ``X-Forwarded-For`` it believes what ``trusted_proxies`` (addresses, networks) added: the
    client is the first address from the right that is none of theirs. Nobody else's is read.
    """

    def __init__(self, app: Litestar, trusted_proxies: Iterable[str] = ()) -> None:
        self._app = app
        trusted = as_peers(trusted_proxies)
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=True,
                proxy_headers=bool(trusted),
                forwarded_allow_ips=trusted,
                backlog=BACKLOG,
                timeout_keep_alive=KEPT_OPEN_S,
                timeout_graceful_shutdown=GOODBYE_S,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say goodbye to those who follow the log: they would stay for ever."""
        if tails := self._app.state.get("tails"):
            tails.end()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none: the program stops us by ``should_exit``."""
        yield


def as_peers(trusted_proxies: Iterable[str]) -> list[str]:
    """The networks as a socket names its peers; one for both families maps IPv4 into IPv6."""
    networks = [ip_network(proxy) for proxy in trusted_proxies]
    mapped = [
        f"::ffff:{network.network_address}/{96 + network.prefixlen}"
        for network in networks
        if isinstance(network, IPv4Network)
    ]
    return [*map(str, networks), *mapped]
