"""URLs that lead where no task may: refused before a byte is sent there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from domain.public_addresses import is_permitted
from gpu_agent.fetch import Fetcher, FetchPolicy, FetchRefused, check_url
from gpu_agent.media import MediaRefused, MediaSource, NoMedia
from tests.gpu_agent.files import holds_files

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.215.14"
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
    "https://a..b.com/x",
    "https://.example.com/",
    "https://example.com../",
    "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 127 + "com/",
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


async def literal_only(host: str, _port: int) -> Sequence[str]:
    return [str(ip_address(host))]


@pytest.mark.parametrize("url", REFUSED_BY_FORM)
def test_a_url_of_a_wrong_form_is_refused(url: str) -> None:
    with pytest.raises(FetchRefused):
        check_url(url, FetchPolicy())


@pytest.mark.parametrize("host", ["a" * 63 + ".com", "a." * 125 + "com", "example.com."])
def test_a_host_as_long_as_names_may_be_is_asked_for(host: str) -> None:
    assert check_url(f"https://{host}/", FetchPolicy()) == f"https://{host}/"


async def test_a_name_that_the_resolver_cannot_even_encode_is_refused(tmp_path: Path) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return [str("a..b".encode("idna"))]

    with pytest.raises(FetchRefused, match="cannot be found"):
        await Fetcher(FetchPolicy(), resolve=resolve).fetch(
            "https://a.example/", tmp_path / "x"
        )


async def test_a_name_that_there_is_not_is_refused_without_the_systems_own_words(
    tmp_path: Path,
) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    fetcher = Fetcher(FetchPolicy(), resolve=resolve)
    with pytest.raises(MediaRefused) as refused:
        await MediaSource(fetcher).bring("https://a.example/x", tmp_path)
    assert str(refused.value) == "https://a.example/x: a.example cannot be found"
    assert not isinstance(refused.value, NoMedia), "it is the user's to correct"


@pytest.mark.parametrize("error", [socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM])
async def test_that_no_name_server_answers_is_no_fault_of_the_user(
    error: int, tmp_path: Path
) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror(error, "Temporary failure in name resolution")

    fetcher = Fetcher(FetchPolicy(), resolve=resolve)
    with pytest.raises(NoMedia, match="no name server answers"):
        await MediaSource(fetcher).bring("https://a.example/x", tmp_path)
    assert not holds_files(tmp_path)


async def test_a_name_server_that_hangs_is_no_fault_of_the_user(tmp_path: Path) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return await asyncio.Future()

    fetcher = Fetcher(FetchPolicy(stall_s=0.05), resolve=resolve)
    with pytest.raises(NoMedia, match="no name server answers"):
        await MediaSource(fetcher).bring("https://a.example/x", tmp_path)


@pytest.mark.parametrize("url", REFUSED_BY_ADDRESS)
async def test_a_url_into_a_closed_network_is_refused(url: str, tmp_path: Path) -> None:
    fetcher = Fetcher(FetchPolicy(), resolve=literal_only)
    with pytest.raises(FetchRefused, match="leads into a private network"):
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


async def test_a_stranger_does_not_learn_where_an_internal_name_leads(tmp_path: Path) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["10.1.2.3"]

    with capture_logs() as logged, pytest.raises(FetchRefused) as refused:
        await Fetcher(FetchPolicy(), resolve=resolve).fetch(
            "https://db.intra.example/", tmp_path / "x"
        )
    assert str(refused.value) == (
        "db.intra.example leads into a private network: use an address on the public internet"
    )
    (line,) = logged
    assert (line["host"], line["address"]) == ("db.intra.example", "10.1.2.3")
    assert line["log_level"] == "info", "no warning: the platform keeps those, for more eyes"


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
