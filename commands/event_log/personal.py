"""Personal fields: stored under the key of their fact's user, readable while that key exists.

Those that a user wrote for themselves (``Private``) are read as they are stored: rows of read
models hold them sealed, and they are opened for whoever is shown them.
Stored as ``enc1:`` and base64 of nonce, ciphertext and tag (AES-256-GCM), bound to the tag, the
field and the user, so that a value moved to another place does not open.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from msgspec.structs import replace

from commands.bounded_cache import BoundedCache
from commands.event_log.secrets import decrypt, encrypt
from domain.catalogue import BY_TAG, personal_fields, private_fields
from domain.errors import NotFound
from domain.facts import ERASED, Fact, SealedText, tag_of

MARK: Final = "enc1:"
PERSONAL: Final = {kind: personal_fields(kind) for kind in BY_TAG.values()}
PRIVATE: Final = {kind: private_fields(kind) for kind in BY_TAG.values()}
STORED_SEALED: Final = {kind: PERSONAL[kind] + PRIVATE[kind] for kind in PRIVATE}
KEYS_KEPT = 20_000
KEY_MAX_AGE_S = 60.0
"""How long a destroyed key may still open something in a process that had used it."""


class KeyMissing(BaseException):
    """The user's key is not in memory: load it and try again.

    No ``Exception``, as with ``StreamMissing``.
    """

    def __init__(self, user_id: UUID) -> None:
        super().__init__(user_id)
        self.user_id = user_id


class KeyGone(NotFound):
    """Nothing can be recorded any more of what somebody is or wrote who was forgotten."""


KeyOf = Callable[[UUID], bytes | None]
"""A user's key; ``None`` when it was destroyed. May raise ``KeyMissing``."""


class SubjectKeys:
    """The keys that a process used lately. Safe from any thread."""

    def __init__(self) -> None:
        self._keys: BoundedCache[UUID, tuple[float, bytes | None]] = BoundedCache(KEYS_KEPT)

    def put(self, user_id: UUID, key: bytes | None) -> None:
        """Remember what the table says; ``None`` means that it has no key."""
        self._keys.put(user_id, (time.monotonic() + KEY_MAX_AGE_S, key))

    def forget(self, user_id: UUID) -> None:
        """The key was destroyed: stop reading with it at once."""
        self._keys.pop(user_id)

    def get(self, user_id: UUID) -> bytes | None:
        """A key that is in memory.

        Raises:
            KeyMissing: it is not, or has been for too long.
        """
        entry = self._keys.get(user_id)
        if entry is None or entry[0] < time.monotonic():
            raise KeyMissing(user_id)
        return entry[1]


def sealed(fact: Fact, key_of: KeyOf) -> Fact:
    """The fact as it is stored.

    Raises:
        KeyGone: its user has no key.
    """
    names = STORED_SEALED[type(fact)]
    if not names:
        return fact
    values = {name: getattr(fact, name) for name in names}
    user_id = owner(fact)
    key = key_of(user_id)
    if key is None:
        raise KeyGone(f"{user_id} has no key")
    return replace(
        fact,
        **{
            name: MARK + base64.b64encode(encrypt(key, value.encode(), bound)).decode()
            for name, value in values.items()
            if value is not None and (value or name not in PRIVATE[type(fact)])
            for bound in [binding(type(fact), name, user_id)]
        },
    )


def as_read(said: Fact, stored: Fact) -> Fact:
    """A fact as readers see it: what is private stays as it is stored."""
    private = {name: getattr(stored, name) for name in PRIVATE[type(said)]}
    return replace(said, **private) if private else said


def opened(fact: Fact, key_of: KeyOf) -> Fact:
    """The fact as it was said, but for what is private; ``ERASED`` where the key is gone."""
    names = PERSONAL[type(fact)]
    if not names:
        return fact
    user_id = owner(fact)
    key = key_of(user_id)
    return replace(
        fact,
        **{
            name: open_value(value, key, binding(type(fact), name, user_id))
            for name in names
            if isinstance(value := getattr(fact, name), str) and value.startswith(MARK)
        },
    )


def open_value(value: str, key: bytes | None, bound_to: bytes) -> str:
    """One field."""
    if key is None:
        return ERASED
    return decrypt(key, base64.b64decode(value[len(MARK) :]), bound_to).decode()


def owner(fact: Fact) -> UUID:
    """The user whose key holds the fact's personal fields."""
    user_id: Any = getattr(fact, "user_id", None)
    if not isinstance(user_id, UUID):
        raise msgspec.ValidationError(f"{tag_of(fact)} has personal fields and no user_id")
    return user_id


def open_text(sealed: SealedText, key: bytes | None) -> str:
    """A private field; ``ERASED`` where the key is gone, whether it was sealed or not."""
    if key is None:
        return ERASED if sealed.value else ""
    if not sealed.value.startswith(MARK):
        return sealed.value
    try:
        bound_to = binding(sealed.fact, sealed.field, sealed.user_id)
        return open_value(sealed.value, key, bound_to)
    except (InvalidTag, ValueError):
        return sealed.value  # somebody wrote what looks like it, before it was sealed


def binding(fact: type[Fact], name: str, user_id: UUID) -> bytes:
    """What a ciphertext is bound to."""
    return f"{tag_of(fact)}|{name}|{user_id}".encode()
