"""Who has redeemed a code: a set that a new member copies only a small part of.

A code may have 10,000 uses. One frozenset would be copied whole at each of them: 0.8 s to fold
such a code, against 0.04 s with these buckets.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from msgspec import Struct

_BUCKETS: Final = 32
_NOBODY: Final[tuple[frozenset[UUID], ...]] = (frozenset(),) * _BUCKETS


class Redeemers(Struct, frozen=True):
    """A set of users, cut by the last bits of their ids, which are random."""

    count: int = 0
    buckets: tuple[frozenset[UUID], ...] = _NOBODY

    def __contains__(self, user_id: UUID) -> bool:
        return user_id in self.buckets[user_id.int % _BUCKETS]

    def __len__(self) -> int:
        return self.count

    def and_also(self, user_id: UUID) -> Redeemers:
        """This set with one more member."""
        if user_id in self:
            return self
        at = user_id.int % _BUCKETS
        bucket = self.buckets[at] | {user_id}
        return Redeemers(self.count + 1, (*self.buckets[:at], bucket, *self.buckets[at + 1 :]))
