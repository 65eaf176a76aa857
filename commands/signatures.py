"""Ed25519 by the library: the notary's keys, and whether a signature is of a message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from domain.audit.checkpoint import Sign, VerifierKey

LOG = structlog.get_logger(__name__)


def is_signed(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """``domain.audit.checkpoint.Verify``."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class SigningKey:
    """The notary's Ed25519 key, from the 32 bytes of its seed."""

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_key(self) -> bytes:
        """Its 32 public bytes."""
        return self._private.public_key().public_bytes_raw()

    @property
    def sign(self) -> Sign:
        """Signs a message."""
        return self._private.sign


Keys: TypeAlias = Callable[[], Sequence[SigningKey]]
"""The keys at hand, the one of this platform first; asked again when another one is due."""


class SigningKeyMissing(Exception):
    """The log says that another key signs, and it is not among those at hand."""


class KeysAtHand:
    """Finds what signs for a key; the files are read again only when it is a new one."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self.own = keys()[0]
        self._found = self.own

    def private(self, key: VerifierKey) -> SigningKey:
        """The private key of ``key``.

        Raises:
            SigningKeyMissing: it is not here.
        """
        if self._found.public_key != key.public_key:
            found = [each for each in self._keys() if each.public_key == key.public_key]
            if not found:
                raise SigningKeyMissing(
                    f"the log is signed by {key} now: bring its audit-signing-key here from"
                    " where `owl audit keys rotate` was run"
                )
            self._found = found[0]
            LOG.info("notary.signs_with", key=str(key))
        return self._found
