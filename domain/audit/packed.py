"""Tasks that have ended, as the refold of a long log keeps them: as few bytes as they can be.

Nearly all tasks of a log have ended, and hardly one is heard of again: a retry, a deletion, a
late report. Until then its bytes do, a tenth of what the object takes.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec.msgpack import Decoder, Encoder
from msgspec.structs import astuple

from domain.tasks.task import Task

NOTHING: Final[dict[str, Any]] = {}
"""Instead of a task's configuration, which is large and decides nothing here."""


class _Packed(Task, frozen=True, kw_only=True, array_like=True):
    """A task that is written as an array of its fields."""


_ENCODE: Final = Encoder(uuid_format="bytes").encode
_DECODE: Final = Decoder(_Packed).decode


def packed(task: Task) -> bytes:
    """The task's fields, side by side."""
    return _ENCODE(astuple(task))


def unpacked(fields: bytes) -> Task:
    """The task of ``packed``."""
    return _DECODE(fields)
