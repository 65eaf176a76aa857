"""Identifiers: time-ordered UUIDs for things, derived UUIDs for streams.

Sources: RFC 9562 (UUID version 7 and 8).
"""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID, uuid5

_ACCOUNTS = UUID("8f0c6f0e-6a39-5d0c-9a53-0b1f6c6d7a01")
CONFIGURATION_STREAM = UUID("8f0c6f0e-6a39-5d0c-9a53-0b1f6c6d7a02")
"""The one stream of the platform's configuration."""
ADMINS_STREAM = UUID("8f0c6f0e-6a39-5d0c-9a53-0b1f6c6d7a03")
"""The one stream that says who the active admins are."""
READ_MODELS_STREAM = UUID("8f0c6f0e-6a39-5d0c-9a53-0b1f6c6d7a04")
"""The one stream of what operators do with read models."""
LOG_KEYS_STREAM = UUID("8f0c6f0e-6a39-5d0c-9a53-0b1f6c6d7a05")
"""The one stream of the keys that sign the log."""

_VERSION_7 = 0x7 << 76
_VERSION_8 = 0x8 << 76
_VARIANT = 0x2 << 62
_KEEP = ~((0xF << 76) | (0x3 << 62)) & ((1 << 128) - 1)


def uuid7(unix_ms: int, randomness: bytes) -> UUID:
    """A time-ordered id from milliseconds since the epoch and 10 random bytes."""
    value = (unix_ms & ((1 << 48) - 1)) << 80 | int.from_bytes(randomness[:10], "big")
    return UUID(int=(value & _KEEP) | _VERSION_7 | _VARIANT)


def uuid8(digest: bytes) -> UUID:
    """An id from the first 16 bytes of a keyed digest."""
    value = int.from_bytes(digest[:16], "big")
    return UUID(int=(value & _KEEP) | _VERSION_8 | _VARIANT)


@lru_cache(maxsize=65_536)
def account_stream(user_id: UUID) -> UUID:
    """The stream of a user's money; the user's own stream has the user's id."""
    return uuid5(_ACCOUNTS, user_id.hex)
