"""What a URL's form says against fetching from it, in the words of API and agent alike."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.source_url import CHARACTERS_MAX, Flaw, flaw_of

SCHEMES = {"https", "http", "file"}
FLAWS: dict[Flaw, tuple[str, ...]] = {
    "form": (
        "https://exa mple.com/",
        "https://example.com/a\u00a0b",
        "https://example.com/a\u3000b",
        " https://example.com/",
        "https://example.com/\n",
        "https://example.com/\x00",
        "https://exam\u200bple.com/",
        "https://example.com/\u202egpj.4pm",
        "https://example.com/\u2066x",
        "https://example.com/\ufeff",
        "https://example.com/\u00ad",
        "https://example.com/\ud800",
        "https://example.com\\@127.0.0.1/",
        "https://example.com:99999/",
        "https://example.com:443x/",
        "https://[::1/",
        "https://example.com/" + "a" * CHARACTERS_MAX,
    ),
    "scheme": (
        "",
        "video.mp4",
        "//example.com/v.mp4",
        "ftp://example.com/v.mp4",
        "gopher://127.0.0.1:6379/_INFO",
        "data:video/mp4;base64,AAAA",
        "javascript:alert(1)",
        "concat:/etc/passwd",
        "rtsp://example.com/stream",
        "s3://bucket/key",
        "httpſ://example.com/",
    ),
    "credentials": (
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://:@example.com/",
        "https://example.com@127.0.0.1/",
        "https://127.0.0.1:443@example.com/",
    ),
    "port": (
        "https://example.com:22/",
        "https://example.com:8080/",
        "https://example.com:0/",
        "http://example.com:5432/",
    ),
    "host": (
        "https://",
        "https:///v.mp4",
        "https:v.mp4",
        "https://?x",
        "https://-example.com/",
        "https://exam_ple.com/",
        "https://%31%32%37.0.0.1/",
        "https://１２７.0.０.１/",
        "https://ⓔxample.com/",
        "https://еxample.com/",  # a Cyrillic е: names beyond ASCII are taken as xn-- only
        "https://例子.cn/",
        "https://a..b.com/",
        "https://.example.com/",
        "https://example.com../",
        "https://" + "a" * 64 + ".com/",
        "https://" + "a." * 127 + "com/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://017700000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://127.0.0.1.999/",
        "https://256.256.256.256/",
        "https://[v1.x]/",
    ),
    "address": (
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
        "https://metadata.google.internal/computeMetadata/v1/",
        "https://postgres/",
        "https://127.0.0.1/",
        "https://0.0.0.0/",
        "https://10.0.0.1/",
        "https://172.31.255.255/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://100.100.100.200/latest/meta-data/",
        "https://168.63.129.16/metadata",
        "https://[::]/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[::ffff:a9fe:a9fe]/",
        "https://[::127.0.0.1]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[64:ff9b:1::1]/",
        "https://[2002:7f00:1::]/",
        "https://[2001:0:7f00:1::]/",
        "https://[fd00:ec2::254]/",
        "https://[fe80::1]/",
        "https://[fe80::1%25eth0]/",
        "https://[ff02::1]/",
    ),
    "file": (
        "file:",
        "file:///",
        "file:.",
        "file://other-host/clip.mp4",
        "file:///../x",
        "file:a/../../x",
        "file:%2e%2e/x",
        "file:///media/%2E%2e%2fx",
        "file:%252e%252e/x",
        "file:..%5cx",
        "file:clip.mp4%00.txt",
        "file:%ff",
        "file:clip.mp4?x=1",
        "file:clip.mp4#x",
    ),
}
GOOD = [
    "https://example.com/video.mp4",
    "HTTPS://Example.COM:443/a%20b.mp4?x=1#part",
    "http://example.com/v.mp4",
    "https://example.com./v.mp4",
    "https://example.com/视频.mp4",
    "https://xn--fsqu00a.xn--0zwm56d/v.mp4",
    "https://93.184.215.14/v.mp4",
    "https://[2606:4700:4700::1111]/v.mp4",
    "https://[::ffff:93.184.215.14]/v.mp4",
    "https://example.com/a/../b.mp4",
    "file:clip.mp4",
    "file:///media/%E7%8C%AB%201.mp4",
    "file://localhost/media/clip.mp4",
    "file:100%25.mp4",
]
ROWS = [(url, flaw) for flaw, urls in FLAWS.items() for url in urls]


@pytest.mark.parametrize(("url", "flaw"), ROWS)
def test_a_url_is_refused_for_its_flaw(url: str, flaw: Flaw) -> None:
    assert flaw_of(url, schemes=SCHEMES) == flaw


@pytest.mark.parametrize("url", GOOD)
def test_nothing_is_said_against_a_good_url(url: str) -> None:
    assert flaw_of(url, schemes=SCHEMES) is None


@pytest.mark.parametrize(
    ("url", "flaw"),
    [
        ("http://127.0.0.1/v.mp4", None),
        ("http://localhost/v.mp4", None),
        ("https://[::ffff:127.0.0.1]/v.mp4", None),
        ("http://nas/v.mp4", None),
        ("http://10.0.0.1/v.mp4", "address"),
        ("http://2130706433/v.mp4", "host"),
        ("http://127.0.0.1:8000/v.mp4", "port"),
    ],
)
def test_an_operator_opens_networks_and_nothing_else(url: str, flaw: Flaw | None) -> None:
    assert flaw_of(url, schemes=SCHEMES, allowed=[ip_network("127.0.0.0/8")]) == flaw


@given(st.ip_addresses())
def test_no_address_that_the_library_calls_local_passes(address: object) -> None:
    tested = ip_address(str(address))
    host = f"[{tested}]" if tested.version == 6 else str(tested)
    inner = getattr(tested, "ipv4_mapped", None) or tested
    if inner.is_private or inner.is_loopback or inner.is_link_local or inner.is_multicast:
        assert flaw_of(f"https://{host}/", schemes=SCHEMES) == "address"


@given(st.text(max_size=60), st.sampled_from(["https://", "file:", ""]))
def test_any_text_is_judged(text: str, beginning: str) -> None:
    flaw_of(beginning + text, schemes=SCHEMES)
