"""The published envelope: every answer is one of these two, crashes included.

Source: the published contract, 通用响应格式 and 错误响应格式.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Envelope(Struct, Generic[T], kw_only=True):
    """Success. ``error_code`` is always null."""

    success: bool = True
    message: str
    data: T
    error_code: None = None


class Failure(Struct, kw_only=True):
    """Failure. ``details`` depends on ``error_code``; empty when there is nothing to add."""

    success: bool = False
    message: str
    error_code: str
    details: Mapping[str, Any] = {}


def shown(at: datetime | None) -> datetime | None:
    """A time as the contract prints it: UTC, whole seconds."""
    return None if at is None else at.astimezone(UTC).replace(microsecond=0)
