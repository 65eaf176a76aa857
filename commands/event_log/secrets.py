"""What keeps personal values and recharge codes out of the log in the clear.

Lose the pepper and nobody can log in; lose the sealing key and no personal field can be read.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from domain.accounts.claim import ClaimKind, mailbox, normalised
from domain.ids import uuid8

NONCE_BYTES: Final = 12  # NIST SP 800-38D: 96 bits, random, far below 2^32 uses of one key
KEY_BYTES: Final = 32


class Secrets(Struct, frozen=True, kw_only=True):
    """The platform's own secrets; both are 32 random bytes."""

    pepper: bytes
    sealing_key: bytes

    def __post_init__(self) -> None:
        if len(self.pepper) < KEY_BYTES or len(self.sealing_key) != KEY_BYTES:
            raise ValueError("pepper: 32 bytes or more; sealing key: exactly 32")

    def claim_id(self, kind: ClaimKind, value: str) -> UUID:
        """The stream of a unique value; equal for values that differ in case or form only."""
        told_apart = mailbox(value) if kind == "email" else normalised(value)
        return self._keyed(f"claim:{kind}:{told_apart}")

    def code_id(self, symbols: str) -> UUID:
        """The stream of a recharge code, from its symbols without separators."""
        return self._keyed(f"code:{symbols}")

    def throttle_id(self, text: str) -> UUID:
        """What stands for an address in the table of wrong tries."""
        return self._keyed(f"throttle:{text}")

    def seal(self, text: str) -> str:
        """Ciphertext that only this platform opens."""
        return base64.b64encode(encrypt(self.sealing_key, text.encode(), b"sealed")).decode()

    def unseal(self, text: str) -> str:
        """The text that was sealed.

        Raises:
            cryptography.exceptions.InvalidTag: sealed under another key, or changed.
        """
        return decrypt(self.sealing_key, base64.b64decode(text), b"sealed").decode()

    def wrap_key(self, user_id: UUID, key: bytes) -> bytes:
        """A subject key as it is stored: a copy of the tables alone opens nothing."""
        return encrypt(self.sealing_key, key, b"subject:" + user_id.bytes)

    def unwrap_key(self, user_id: UUID, wrapped: bytes) -> bytes:
        """The subject key that was wrapped for this user."""
        return decrypt(self.sealing_key, wrapped, b"subject:" + user_id.bytes)

    def _keyed(self, text: str) -> UUID:
        return uuid8(hmac.digest(self.pepper, text.encode(), hashlib.sha256))


def encrypt(key: bytes, text: bytes, bound_to: bytes) -> bytes:
    """AES-256-GCM: nonce, ciphertext and tag; opens only with the same ``bound_to``."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, text, bound_to)


def decrypt(key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
    """The text of ``encrypt``."""
    return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
