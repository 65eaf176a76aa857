"""Passwords: Argon2id, off the event loop, a bounded number at a time.

Parameters: OWASP's minimum (19 MiB, two passes, one lane); two at a time hold 40 MiB.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import CHEAPEST
from msgspec import Struct

T = TypeVar("T")


AT_ONCE_PER_CALLER: Final = 32
"""Of the 52 places for passwords: one address never has them all."""


class PasswordsBusy(Exception):
    """So many passwords wait to be checked that one more would wait too long."""


class PasswordCost(Struct, frozen=True, kw_only=True):
    """What one hash costs, and how many may run and wait at once."""

    memory_kib: int = 19_456
    passes: int = 2
    lanes: int = 1
    at_once: int = 2
    queue_max: int = 50


CHEAP = PasswordCost(
    memory_kib=CHEAPEST.memory_cost, passes=CHEAPEST.time_cost, lanes=CHEAPEST.parallelism
)
"""For tests that are about something else; the hash says how it was made, so both verify."""


class Passwords:
    """Hashes and verifies. Nobody's password takes as long to refuse as somebody's."""

    def __init__(self, cost: PasswordCost | None = None) -> None:
        self._cost = cost or PasswordCost()
        self._hasher = PasswordHasher(
            time_cost=self._cost.passes,
            memory_cost=self._cost.memory_kib,
            parallelism=self._cost.lanes,
        )
        self._threads = ThreadPoolExecutor(self._cost.at_once, "argon2")
        self._pending = 0
        self._nobody = self._hasher.hash("nobody's password")

    async def hash(self, password: str) -> str:
        """The encoded hash.

        Raises:
            PasswordsBusy: too many wait already.
        """
        return await self._off_loop(lambda: self._hasher.hash(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is right; without a hash, ``False`` after the same work.

        Raises:
            PasswordsBusy: too many wait already.
        """
        known = password_hash or self._nobody
        right = await self._off_loop(lambda: _matches(self._hasher, known, password))
        return right and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made at another cost than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        """End the threads; a hash that is being made is finished first."""
        self._threads.shutdown()

    async def _off_loop(self, work: Callable[[], T]) -> T:
        if self._pending >= self._cost.at_once + self._cost.queue_max:
            raise PasswordsBusy
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._pending -= 1


def _matches(hasher: PasswordHasher, password_hash: str, password: str) -> bool:
    try:
        return hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
