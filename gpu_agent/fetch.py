"""Fetches a stranger's URL for a task: bounded in size, time and where it may lead.

Law: https unless the operator allows http; no credentials in the URL; each hop is checked anew
and connected to by the address that was checked; no proxy and no other setting comes from the
environment.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote, urljoin, urlsplit

import httpcore
import httpx
import structlog
from msgspec import Struct

from domain.public_addresses import Network
from domain.source_url import PORTS, Flaw, flaw_of
from gpu_agent.address_guard import PRIVATE, AddressRefused, choose_address

WRITE_BYTES: Final = 1 << 20
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
OK: Final = 200
NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY})
"""What a resolver says for certain; all else, a server that is away first of all, may pass."""

_LOG = structlog.get_logger(__name__)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_SAID: Final[dict[Flaw, str]] = {
    "form": "is no well-formed URL",
    "scheme": "its scheme is not fetched",
    "credentials": "credentials in a URL are not sent",
    "port": "its port is not fetched from",
    "host": "names no host that can be fetched from",
    "address": PRIVATE,
    "file": "is no file that is fetched",
}


class FetchRefused(Exception):
    """The URL is not fetched, or what it gave is not taken; the text is for the user."""


class NamesOutOfReach(Exception):
    """No name server told this host what a name is: no fault of the URL, as far as is known."""


class FetchPolicy(Struct, frozen=True, kw_only=True):
    """What the operator allows; the defaults suit strangers' URLs."""

    allow_http: bool = False
    ports: frozenset[int] = PORTS
    allow_networks: tuple[Network, ...] = ()
    max_bytes: int = 2 << 30
    total_s: float = 300.0
    stall_s: float = 10.0
    redirects: int = 3


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """Every address of ``host``, as the host's own resolver says."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]).partition("%")[0] for *_, sockaddr in found]


class _GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to addresses that passed the guard, and to nothing else."""

    def __init__(self, policy: FetchPolicy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve once, check, and connect to the address that was checked."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            number = error.errno if isinstance(error, socket.gaierror) else None
            if isinstance(error, TimeoutError) or number not in {None, *NO_SUCH_NAME}:
                raise NamesOutOfReach(f"no name server answers for {host}") from error
            # in words of ours: the system's are for who knows its error numbers
            raise FetchRefused(f"{host} cannot be found") from error
        try:
            address = choose_address(host, addresses, self._policy.allow_networks)
        except AddressRefused as refused:
            # below a warning: those go to the platform, and this is for whoever has the host
            _LOG.info("address_refused", host=host, address=refused.address)
            raise FetchRefused(str(refused)) from refused
        return await self._network.connect_tcp(
            address, port, timeout, local_address, socket_options
        )

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Never: no URL names one."""
        raise FetchRefused("a local socket is not fetched from")


class Fetcher:
    """Fetches URLs into files under one policy."""

    def __init__(
        self,
        policy: FetchPolicy,
        *,
        resolve: Resolve = resolve_by_system,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._resolve = resolve
        self._tls = tls or httpx.create_ssl_context(trust_env=False)

    async def fetch(self, url: str, target: Path) -> None:
        """Write what ``url`` gives to ``target``; on failure no file is left.

        Raises:
            FetchRefused: the address or the answer is not acceptable, or too slow or large.
            NamesOutOfReach: this host could not ask what the address's name is.
        """
        try:
            async with asyncio.timeout(self._policy.total_s):
                await self._follow(url, target)
        except BaseException as error:
            await asyncio.to_thread(target.unlink, missing_ok=True)
            if isinstance(error, TimeoutError):
                slow = f"took longer than {self._policy.total_s:g} s"
                raise FetchRefused(slow) from error
            raise

    async def _follow(self, url: str, target: Path) -> None:
        network = _GuardedNetwork(self._policy, self._resolve)
        for _ in range(self._policy.redirects + 1):
            url = check_url(url, self._policy)
            # A pool for each hop: no connection, and so no check, is carried over.
            async with httpcore.AsyncConnectionPool(
                ssl_context=self._tls, network_backend=network, max_connections=1
            ) as pool:
                try:
                    location = await self._request(pool, url, target)
                except httpcore.TimeoutException as error:
                    stall = f"nothing came for {self._policy.stall_s:g} s"
                    raise FetchRefused(stall) from error
                except (httpcore.NetworkError, httpcore.ProtocolError) as error:
                    raise FetchRefused(f"cannot be fetched: {error}") from error
            if location is None:
                return
            try:
                url = urljoin(url, location)
            except ValueError as error:
                raise FetchRefused(f"leads to no well-formed URL: {error}") from error
        raise FetchRefused(f"leads through more than {self._policy.redirects} redirects")

    async def _request(
        self, pool: httpcore.AsyncConnectionPool, url: str, target: Path
    ) -> str | None:
        """Fetch one hop; gives the redirect's target, or ``None`` when the file is there."""
        stall = dict.fromkeys(("connect", "read", "write", "pool"), self._policy.stall_s)
        headers: dict[bytes | str, bytes | str] = {
            "Host": urlsplit(url).netloc,
            "User-Agent": "owl-agent",
            "Accept": "*/*",
            "Accept-Encoding": "identity",  # a small answer must not unfold into a huge one
        }
        async with pool.stream(
            "GET", url, headers=headers, extensions={"timeout": stall}
        ) as response:
            said = {name.lower(): value.decode("latin-1") for name, value in response.headers}
            if response.status in REDIRECTS and b"location" in said:
                return said[b"location"]
            if response.status != OK:
                raise FetchRefused(f"the server answered {response.status}")
            if said.get(b"content-encoding", "identity").lower() != "identity":
                raise FetchRefused("the server compressed what was asked for as it is")
            length = said.get(b"content-length", "")
            if length.isdigit() and int(length) > self._policy.max_bytes:
                raise FetchRefused(self._too_large())
            await self._write(response.aiter_stream(), target)
        return None

    async def _write(self, body: AsyncIterable[bytes], target: Path) -> None:
        written, waiting = 0, bytearray()
        with await asyncio.to_thread(_new_file, target) as file:
            async for chunk in body:
                written += len(chunk)
                if written > self._policy.max_bytes:
                    raise FetchRefused(self._too_large())
                waiting += chunk
                if len(waiting) >= WRITE_BYTES:
                    await asyncio.to_thread(file.write, bytes(waiting))
                    waiting.clear()
            await asyncio.to_thread(file.write, bytes(waiting))

    def _too_large(self) -> str:
        return f"is larger than {self._policy.max_bytes} bytes"


def _new_file(target: Path) -> BinaryIO:
    """A file of our own making: a link laid there by the task would lead out of its sandbox."""
    target.unlink(missing_ok=True)
    return target.open("xb")


def check_url(url: str, policy: FetchPolicy) -> str:
    """The URL as it will be asked for, if its form is acceptable. Names are resolved later.

    Raises:
        FetchRefused: it is not.
    """
    schemes = {"https", "http"} if policy.allow_http else {"https"}
    flaw = flaw_of(url, schemes=schemes, ports=policy.ports, allowed=policy.allow_networks)
    if flaw is not None:
        raise FetchRefused(_SAID[flaw])
    parts = urlsplit(url)
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?") if parts.query else ""
    return f"{parts.scheme}://{parts.netloc.lower()}{path}{query}"
