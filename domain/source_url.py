"""The form of a URL that a task is given: what can be known of it without asking a resolver.

The platform refuses with it at once what a server's agent would refuse later, and the agent
checks every hop with it again. What a name resolves to is the agent's alone to judge.
Sources: RFC 3986, RFC 6761 (names that are addresses), WHATWG URL §3.5 (numbers that are).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from domain.public_addresses import Address, Network, is_permitted

Flaw = Literal["form", "scheme", "credentials", "port", "host", "address", "file"]

CHARACTERS_MAX: Final = 2_048
HOST_MAX: Final = 253
LABEL_MAX: Final = 63
"""RFC 1035 §2.3.4. Resolvers do not refuse a longer or an empty label; they raise."""
PORTS: Final = frozenset({80, 443})
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_DECODINGS: Final = ("strict", "replace", "replace")
"""A path is decoded as often in search of `..`; only the first is what a server will see."""

_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?\.?", re.ASCII)
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})
"""Categories of characters that separate, steer or hide: none of them stands in a URL."""
_LOOPBACK: Final = IPv4Address("127.0.0.1")
_METADATA: Final = IPv4Address("169.254.169.254")
_NAMED: Final[dict[str, Address]] = {
    "localhost": _LOOPBACK,
    "localhost.localdomain": _LOOPBACK,
    "ip6-localhost": IPv6Address("::1"),
    "ip6-loopback": IPv6Address("::1"),
    "metadata.google.internal": _METADATA,
    "instance-data.ec2.internal": _METADATA,
}


def flaw_of(
    url: str,
    *,
    schemes: Collection[str],
    ports: Collection[int] = PORTS,
    allowed: Sequence[Network] = (),
) -> Flaw | None:
    """Why ``url`` is not fetched from; ``None`` when its form speaks against nothing.

    ``allowed`` are the networks beside the public internet; one that is named lets dotless
    names pass too, for an operator's own machines have such.
    """
    if len(url) > CHARACTERS_MAX or "\\" in url or not _is_seen(url):
        return "form"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "form"
    if parts.scheme not in schemes:
        return "scheme"
    if parts.scheme == "file":
        return _flaw_of_file(parts)
    if "@" in parts.netloc:
        return "credentials"
    if (_DEFAULT_PORTS[parts.scheme] if port is None else port) not in ports:
        return "port"
    host = parts.hostname or ""
    if "[" in parts.netloc:
        return _flaw_of_literal(host, allowed)
    return _flaw_of_host(host, allowed)


def wants_files(config: Mapping[str, Any]) -> bool:
    """Whether a task's config names a file of the farm's own: only some servers have those."""
    return any(
        name.endswith("url") and isinstance(value, str) and value[:5].lower() == "file:"
        for name, value in config.items()
    )


def _is_seen(url: str) -> bool:
    return not any(unicodedata.category(character) in _UNSEEN for character in url)


def _flaw_of_literal(host: str, allowed: Sequence[Network]) -> Flaw | None:
    """An IPv6 address, its brackets taken off; a zone is of one machine only."""
    try:
        sound = "%" not in host and is_permitted(IPv6Address(host), allowed)
    except ValueError:
        return "host"
    return None if sound else "address"


def _flaw_of_host(host: str, allowed: Sequence[Network]) -> Flaw | None:
    if not _HOST.fullmatch(host):
        return "host"
    name = host.removesuffix(".")
    labels = name.split(".")
    if len(name) > HOST_MAX or not all(0 < len(label) <= LABEL_MAX for label in labels):
        return "host"
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        # 2130706433, 0x7f.1, 0177.0.0.1: resolvers take them for addresses
        try:
            return None if is_permitted(IPv4Address(host), allowed) else "address"
        except ValueError:
            return "host"
    named = _LOOPBACK if labels[-1] == "localhost" else _NAMED.get(name)
    if named is not None:
        return None if is_permitted(named, allowed) else "address"
    return "address" if len(labels) == 1 and not allowed else None


def _flaw_of_file(parts: SplitResult) -> Flaw | None:
    """A file lies on the server that runs the task, within the directories of its operator."""
    if parts.netloc not in {"", "localhost"} or parts.query or parts.fragment:
        return "file"
    path = parts.path
    for errors in _DECODINGS:
        try:
            path = unquote(path, errors=errors)
        except UnicodeDecodeError:
            return "file"
        if ".." in path.replace("\\", "/").split("/") or _CONTROL.search(path):
            return "file"
    return None if path.strip("/.") else "file"
