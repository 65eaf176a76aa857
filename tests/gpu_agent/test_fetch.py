"""Fetching a stranger's URL: hostile ones are refused before a byte is sent there."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from gpu_agent.address_guard import is_permitted
from gpu_agent.fetch import Fetcher, FetchPolicy, FetchRefused, check_url
from gpu_agent.media import MediaRefused, MediaSource

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.215.14"
LOOPBACK = ip_network("127.0.0.0/8")

REFUSED_BY_FORM = [
    "",
    "video.mp4",
    "//example.com/v.mp4",
    "http://example.com/v.mp4",
    "ftp://example.com/v.mp4",
    "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/",
    "ldap://127.0.0.1/",
    "data:video/mp4;base64,AAAA",
    "javascript:alert(1)",
    "concat:/etc/passwd|/etc/shadow",
    "rtsp://example.com/stream",
    "tcp://127.0.0.1:22",
    "https://",
    "https:///v.mp4",
    "https://?x",
    "https://user@example.com/v.mp4",
    "https://user:password@example.com/v.mp4",
    "https://example.com@127.0.0.1/",
    "https://127.0.0.1:443@example.com/",
    "https://example.com:22/",
    "https://example.com:6379/",
    "https://example.com:5432/",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://example.com:-1/",
    "https://example.com:443x/",
    "https://exa mple.com/",
    "https://example.com/\r\nHost: evil",
    "https://example.com\\@127.0.0.1/",
    "https://example.com\t/",
    "https://exam\x00ple.com/",
    "https://[::1/",
    "https://[fe80::1%25eth0]/",
    "https://-example.com/",
    "https://exam_ple!.com/",
    "https://１２７.０.０.１/",
    "https://ⓔxample.com/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.0.1.999/",
    "https://" + "a" * 3_000,
]
REFUSED_BY_ADDRESS = [
    "https://127.0.0.1/",
    "https://127.0.0.53/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://10.255.255.255/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.100.100.200/latest/meta-data/",
    "https://168.63.129.16/metadata",
    "https://192.0.0.192/opc/v1/",
    "https://100.64.0.1/",
    "https://198.18.0.1/",
    "https://192.0.2.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://224.0.0.1/",
    "https://239.255.255.250/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://[::]/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[64:ff9b:1::1]/",
    "https://[100::1]/",
    "https://[2001::1]/",
    "https://[2001:db8::1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a00:1::1]/",
    "https://[3fff::1]/",
    "https://[5f00::1]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[fe80::1]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def literal_only(host: str, _port: int) -> Sequence[str]:
    return [str(ip_address(host))]


def holds_files(directory: Path) -> bool:
    return any(directory.iterdir())


@pytest.mark.parametrize("url", REFUSED_BY_FORM)
def test_a_url_of_a_wrong_form_is_refused(url: str) -> None:
    with pytest.raises(FetchRefused):
        check_url(url, FetchPolicy())


@pytest.mark.parametrize("url", REFUSED_BY_ADDRESS)
async def test_a_url_into_a_closed_network_is_refused(url: str, tmp_path: Path) -> None:
    fetcher = Fetcher(FetchPolicy(), resolve=literal_only)
    with pytest.raises(FetchRefused, match="not a public address"):
        await fetcher.fetch(url, tmp_path / "x")
    assert not holds_files(tmp_path)


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        [PUBLIC, "127.0.0.1"],
        [PUBLIC, "::1"],
        ["2606:4700::1111", "fe80::1"],
        ["::ffff:192.168.0.1"],
        [],
    ],
)
async def test_a_name_is_refused_when_any_of_its_addresses_is_closed(
    addresses: list[str], tmp_path: Path
) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    with pytest.raises(FetchRefused):
        await Fetcher(FetchPolicy(), resolve=resolve).fetch(
            "https://a.example/", tmp_path / "x"
        )


@pytest.mark.parametrize(
    "text", [PUBLIC, "1.1.1.1", "2606:4700:4700::1111", f"::ffff:{PUBLIC}", "64:ff9b::101:101"]
)
def test_public_addresses_are_permitted(text: str) -> None:
    assert is_permitted(ip_address(text))


@given(st.ip_addresses())
def test_no_address_that_the_library_calls_local_is_permitted(address: object) -> None:
    tested = ip_address(str(address))
    if tested.is_private or tested.is_loopback or tested.is_link_local or tested.is_multicast:
        assert not is_permitted(tested) or getattr(tested, "ipv4_mapped", None)


def test_a_well_formed_url_is_asked_for_as_it_is() -> None:
    url = "https://Example.com/猫/a b.mp4?x=1&y=猫#part".replace(" ", "%20")
    assert check_url(url, FetchPolicy()) == (
        "https://example.com/%E7%8C%AB/a%20b.mp4?x=1&y=%E7%8C%AB"
    )


@asynccontextmanager
async def server(
    handler: Handler, tls: ssl.SSLContext | None = None
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
        total_s=2.0,
        stall_s=0.3,
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
    ],
)
async def test_an_answer_that_is_no_file_is_refused_and_leaves_none(
    head: str, tmp_path: Path
) -> None:
    async with server(says(head, b"x" * 10)) as (policy, port, _):
        with pytest.raises(FetchRefused):
            await fetch(policy, f"http://127.0.0.1:{port}/", tmp_path / "x")
    assert not holds_files(tmp_path)


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

    async with server(silent) as (policy, port, _):
        with pytest.raises(FetchRefused, match="nothing came"):
            await fetch(policy, f"http://127.0.0.1:{port}/", tmp_path / "x")


async def test_a_server_that_drips_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with server(drip) as (policy, port, _):
        with pytest.raises(FetchRefused, match="longer than 2 s"):
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


@pytest.fixture
def media(tmp_path: Path) -> Path:
    directory = tmp_path / "media"
    (directory / "sub").mkdir(parents=True)
    (directory / "clip.mp4").write_text("clip")
    (directory / "sub" / "猫 1.mp4").write_text("cat")
    (directory / "inside").symlink_to("clip.mp4")
    (directory / "outside").symlink_to("/etc/passwd")
    (directory / "up").symlink_to("..")
    (tmp_path / "secret").write_text("secret")
    return directory


async def bring(media: Path | None, url: str, workspace: Path) -> Path:
    directories = [] if media is None else [workspace / "none", media]
    return await MediaSource(Fetcher(FetchPolicy()), directories).bring(url, workspace)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("file:clip.mp4", "clip"),
        ("FILE:clip.mp4", "clip"),
        ("file:./sub/../clip.mp4", "clip"),
        ("file:inside", "clip"),
        ("file:sub/%E7%8C%AB%201.mp4", "cat"),
        ("file://localhost{media}/clip.mp4", "clip"),
        ("file://{media}/clip.mp4", "clip"),
    ],
)
async def test_the_operators_files_are_brought(
    media: Path, tmp_path: Path, url: str, text: str
) -> None:
    path = await bring(media, url.format(media=media), tmp_path)
    assert path.read_text() == text


@pytest.mark.parametrize(
    "url",
    [
        "file:",
        "file:.",
        "file:sub",
        "file:missing.mp4",
        "file:../secret",
        "file:%2e%2e/secret",
        "file:sub/../../secret",
        "file:outside",
        "file:up/secret",
        "file:/etc/passwd",
        "file:///etc/passwd",
        "file:////etc/passwd",
        "file://evil.example/clip.mp4",
        "file:clip.mp4%00.txt",
        "file:%ff%fe",
        "file:" + "a" * 5_000,
    ],
)
async def test_nothing_outside_the_media_directory_is_brought(
    media: Path, tmp_path: Path, url: str
) -> None:
    with pytest.raises(MediaRefused):
        await bring(media, url, tmp_path)


async def test_without_a_media_directory_no_file_is_brought(tmp_path: Path) -> None:
    with pytest.raises(MediaRefused, match="no media directory"):
        await bring(None, "file:///etc/hostname", tmp_path)
