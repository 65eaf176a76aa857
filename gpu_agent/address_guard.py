"""Which addresses the agent connects to.

A GPU host stands inside the operator's network: the worst place to follow a stranger's URL.
Law: every address of a name must pass; the connection goes to the address that was checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from domain.public_addresses import Network, is_permitted


class AddressRefused(Exception):
    """An address that the agent does not fetch from."""


def choose_address(host: str, addresses: Iterable[str], allowed: Sequence[Network]) -> str:
    """The address to connect to, once every one that ``host`` has was found permissible.

    Raises:
        AddressRefused: there is none, or one is not public and not allowed by the operator.
    """
    found = [ip_address(text) for text in addresses]
    for address in found:
        if not is_permitted(address, allowed):
            raise AddressRefused(f"{host} is at {address}, which is not a public address")
    if not found:
        raise AddressRefused(f"{host} has no address")
    return str(found[0])
