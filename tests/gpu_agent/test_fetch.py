"""Fetching a stranger's URL: hostile ones are refused before a byte is sent there."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gpu_agent.fetch import Fetcher, FetchPolicy, FetchRefused
from tests.gpu_agent.files import holds_files

pytestmark = pytest.mark.anyio

LOOPBACK = ip_network("127.0.0.0/8")

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(
    handler: Handler,
    tls: ssl.SSLContext | None = None,
    *,
    total_s: float = 60.0,
    stall_s: float = 60.0,
) -> AsyncIterator[tuple[FetchPolicy, int, list[str]]]:
    """A local HTTP server, a policy that reaches it, and the requests it got."""
    requests: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            await handler(reader, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    policy = FetchPolicy(
        allow_http=True,
        ports=frozenset({port}),
        allow_networks=(LOOPBACK,),
        max_bytes=100_000,
        total_s=total_s,
        stall_s=stall_s,
    )
    async with listening:
        yield policy, port, requests


def says(head: str, body: bytes = b"") -> Handler:
    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {head}\r\nConnection: close\r\n\r\n".encode() + body)

    return handler


async def fetch(policy: FetchPolicy, url: str, target: Path) -> None:
    await Fetcher(policy).fetch(url, target)


async def test_a_file_arrives_as_it_is(tmp_path: Path) -> None:
    body = bytes(range(256)) * 300
    async with server(says(f"200 OK\r\nContent-Length: {len(body)}", body)) as (
        policy,
        port,
        got,
    ):
        await fetch(policy, f"http://127.0.0.1:{port}/clip.mp4", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == body
    assert got[0].startswith("GET /clip.mp4 HTTP/1.1\r\n")
    assert "accept-encoding: identity" in got[0].lower()
    assert "cookie" not in got[0].lower()


@pytest.mark.parametrize(
    "head",
    [
        "404 Not Found",
        "500 Oh",
        "206 Partial Content",
        "204 None",
        "200 OK\r\nContent-Length: 999999999",
        "200 OK\r\nContent-Encoding: gzip",
        "200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot-hex",
        "nonsense",
        "302 Found\r\nLocation: file:///etc/passwd",
        "302 Found\r\nLocation: //user:x@example.com/",
        "302 Found\r\nLocation: http://10.0.0.1:1/",
        "302 Found\r\nLocation: gopher://127.0.0.1/",
        "302 Found\r\nLocation: http://[",
        "302 Found\r\nLocation: http://a..b.com/",
    ],
)
async def test_an_answer_that_is_no_file_is_refused_and_leaves_none(
    head: str, tmp_path: Path
) -> None:
    async with server(says(head, b"x" * 10)) as (policy, port, _):
        with pytest.raises(FetchRefused):
            await fetch(policy, f"http://127.0.0.1:{port}/", tmp_path / "x")
    assert not holds_files(tmp_path)


async def test_a_link_that_the_task_laid_in_the_way_is_not_written_through(
    tmp_path: Path,
) -> None:
    workspace, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    workspace.mkdir()
    elsewhere.write_text("the agent's own")
    (workspace / "input").symlink_to(elsewhere)
    async with server(says("200 OK", b"the task's")) as (policy, port, _):
        await fetch(policy, f"http://127.0.0.1:{port}/", workspace / "input")
    assert elsewhere.read_text() == "the agent's own"
    assert (workspace / "input").read_text() == "the task's"


async def test_a_body_without_a_length_is_cut_off_at_the_cap(tmp_path: Path) -> None:
    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 50_000)
            await writer.drain()

    async with server(endless) as (policy, port, _):
        with pytest.raises(FetchRefused, match="larger than 100000"):
            await fetch(policy, f"http://127.0.0.1:{port}/", tmp_path / "x")
    assert not holds_files(tmp_path)


async def test_a_server_that_falls_silent_is_given_up(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nsome")
        await reader.read()

    async with server(silent, stall_s=0.3) as (policy, port, _):
        with pytest.raises(FetchRefused, match="nothing came"):
            await fetch(policy, f"http://127.0.0.1:{port}/", tmp_path / "x")


async def test_a_server_that_drips_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with server(drip, total_s=0.5) as (policy, port, _):
        with pytest.raises(FetchRefused, match=r"longer than 0\.5 s"):
            await fetch(policy, f"http://127.0.0.1:{port}/", tmp_path / "x")


async def test_three_redirects_are_followed_and_a_fourth_is_not(tmp_path: Path) -> None:
    hops = 0

    async def around(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hops
        hops += 1
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")

    async with server(around) as (policy, port, _):
        with pytest.raises(FetchRefused, match="redirects"):
            await fetch(policy, f"http://127.0.0.1:{port}/", tmp_path / "x")
    assert hops == 4


async def test_a_name_is_resolved_once_and_the_connection_goes_where_it_was_checked(
    tmp_path: Path,
) -> None:
    """A name that turns local on the second look (DNS rebinding) gets no second look."""
    asked: list[str] = []

    async with server(says("200 OK\r\nContent-Length: 2", b"ok")) as (policy, port, got):

        async def resolve(host: str, _port: int) -> Sequence[str]:
            asked.append(host)
            return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

        await Fetcher(policy, resolve=resolve).fetch(
            f"http://media.example:{port}/v", tmp_path / "x"
        )
    assert asked == ["media.example"]
    assert f"host: media.example:{port}" in got[0].lower()


async def test_no_proxy_of_the_environment_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with server(says("200 OK\r\nContent-Length: 2", b"ok")) as (policy, port, _):
        await fetch(policy, f"http://127.0.0.1:{port}/", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"ok"


@pytest.mark.parametrize(
    ("host", "accepted"), [("media.example", True), ("other.example", False)]
)
async def test_https_checks_the_certificate_against_the_name_not_the_address(
    host: str, *, accepted: bool, tmp_path: Path
) -> None:
    served, trusting = certificate_for("media.example", tmp_path)
    handler = says("200 OK\r\nContent-Length: 2", b"ok")
    async with server(handler, tls=served) as (policy, port, _):

        async def resolve(_host: str, _port: int) -> Sequence[str]:
            return ["127.0.0.1"]

        fetching = Fetcher(policy, resolve=resolve, tls=trusting).fetch(
            f"https://{host}:{port}/", tmp_path / "x"
        )
        if accepted:
            await fetching
        else:
            with pytest.raises(FetchRefused, match="certificate"):
                await fetching


def certificate_for(name: str, directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate of its own for ``name``, and one that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (directory / "server.pem").write_bytes(secret + pem)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(directory / "server.pem")
    return served, ssl.create_default_context(cadata=pem.decode())
