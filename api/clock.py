"""What a program takes from outside the domain: the time, and ids that are ordered by it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from time import time_ns
from uuid import UUID

from domain.ids import uuid7


def now() -> datetime:
    """The platform's clock."""
    return datetime.now(UTC)


def new_id() -> UUID:
    """A time-ordered id."""
    return uuid7(time_ns() // 1_000_000, os.urandom(10))
