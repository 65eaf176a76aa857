"""A bounded cache that forgets what was not used for longest, roughly, at next to no cost.

Two generations instead of an order of uses: a hit is one look-up. When the young generation has
half the limit, it becomes the old one, and what the old one still held is forgotten.
"""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """At most ``limit`` entries, the last ``limit / 2`` that were used among them."""

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """The value, or ``None``."""
        value = self._young.get(key)
        if value is None and self._old:
            value = self._old.pop(key, None)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep ``value``, forgetting others if need be."""
        self._young[key] = value
        if len(self._young) >= self._half:
            self._old = self._young
            self._young = {}

    def pop(self, key: K) -> V | None:
        """Forget the value and return it."""
        young = self._young.pop(key, None)
        old = self._old.pop(key, None)
        return old if young is None else young

    def clear(self) -> None:
        """Forget everything."""
        self._young = {}
        self._old = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
