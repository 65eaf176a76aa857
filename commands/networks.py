"""What one client of the network has to itself, to count by."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

_IPV6_PREFIX: Final = 64


def network_of(address: str | None) -> str:
    """An IPv4 address, or a /64 network of IPv6."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return address or "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed.packed, _IPV6_PREFIX), strict=False))
    return str(parsed)
