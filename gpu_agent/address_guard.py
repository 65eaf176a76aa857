"""Which addresses the agent connects to.

A GPU host stands inside the operator's network: the worst place to follow a stranger's URL.
Law: every address of a name must pass; the connection goes to the address that was checked.
What an internal name resolves to is not the stranger's to know: no refusal's text says it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Final

from domain.public_addresses import Network, is_permitted

PRIVATE: Final = "leads into a private network: use an address on the public internet"


class AddressRefused(Exception):
    """An address that the agent does not fetch from; the text is for the user.

    ``address`` is for the agent's own log.
    """

    def __init__(self, text: str, address: str = "") -> None:
        super().__init__(text)
        self.address = address


def choose_address(host: str, addresses: Iterable[str], allowed: Sequence[Network]) -> str:
    """The address to connect to, once every one that ``host`` has was found permissible.

    Raises:
        AddressRefused: there is none, or one is not public and not allowed by the operator.
    """
    found = [ip_address(text) for text in addresses]
    for address in found:
        if not is_permitted(address, allowed):
            raise AddressRefused(f"{host} {PRIVATE}", str(address))
    if not found:
        raise AddressRefused(f"{host} has no address")
    return str(found[0])
