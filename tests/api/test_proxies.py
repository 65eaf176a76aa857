"""Whose address counts: the client's behind a trusted proxy, and never what a client claims."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from litestar import Litestar

from api.programs.http_server import HttpServer
from commands.throttle import Config, Limit
from tests.api.live import LiveApi

TRIES = 3
THROTTLES = Config(login_address=Limit(TRIES, 900))
WRONG = {"email": "nobody@example.com", "password": "wrong password"}
PROXIES = ("127.0.0.1", "10.0.0.0/8")


def wrong_login(live: LiveApi, *forwarded: str) -> int:
    headers = [("X-Forwarded-For", value) for value in forwarded]
    with live.client() as client:
        return client.post("/api/auth/login", json=WRONG, headers=headers).status_code


KEPT_BY_PROXIES_S = 60
"""nginx's ``keepalive_timeout`` to upstreams and HAProxy's usual one; httpx keeps 5 s."""


def client_seen(peer: str) -> str:
    """Who the application takes for the client, when ``peer`` forwards 203.0.113.1."""
    seen: list[str] = []

    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["client"][0])

    server = HttpServer(cast("Litestar", application), PROXIES)
    server.config.load()
    scope = {
        "type": "http",
        "client": (peer, 1),
        "headers": [(b"x-forwarded-for", b"203.0.113.1")],
    }
    asyncio.run(cast("Any", server.config.loaded_app)(scope, None, None))
    (address,) = seen
    return address


def test_what_an_untrusted_peer_claims_is_not_read(database_url: str) -> None:
    with LiveApi(
        database_url, throttles=THROTTLES, trusted_proxies=("10.0.0.0/8", "192.0.2.1")
    ) as live:
        codes = [wrong_login(live, f"203.0.113.{n}") for n in range(TRIES + 1)]
    assert codes == [401] * TRIES + [429]


def test_without_trusted_proxies_nobodys_header_is_read(database_url: str) -> None:
    with LiveApi(database_url, throttles=THROTTLES) as live:
        codes = [wrong_login(live, f"203.0.113.{n}") for n in range(TRIES + 1)]
    assert codes == [401] * TRIES + [429]


def test_behind_trusted_proxies_each_client_is_counted_by_its_own_address(
    database_url: str,
) -> None:
    with LiveApi(database_url, throttles=THROTTLES, trusted_proxies=PROXIES) as live:
        for number in range(TRIES):
            # whatever a client claims stands to the left of what the first proxy saw
            assert wrong_login(live, f"198.51.100.{number}, 203.0.113.1, 10.0.0.9") == 401
        assert wrong_login(live, "198.51.100.9", "203.0.113.1", "10.0.0.9") == 429
        assert wrong_login(live, "10.1.1.1, 203.0.113.1") == 429
        assert wrong_login(live, "203.0.113.1, 203.0.113.2, 10.0.0.9") == 401


@pytest.mark.parametrize("peer", ["127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.1.2.3"])
def test_a_proxy_is_known_on_a_socket_of_both_families(peer: str) -> None:
    assert client_seen(peer) == "203.0.113.1"


@pytest.mark.parametrize("peer", ["127.0.0.2", "::ffff:127.0.0.2", "::1", "11.0.0.1"])
def test_a_neighbour_of_a_proxy_is_none(peer: str) -> None:
    assert client_seen(peer) == peer


def test_a_connection_is_kept_longer_than_a_proxy_keeps_it() -> None:
    """So it is never the server that closes one on which a request is on its way."""
    server = HttpServer(cast("Litestar", object()))
    assert server.config.timeout_keep_alive > KEPT_BY_PROXIES_S
