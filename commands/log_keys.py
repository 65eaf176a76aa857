"""Command about the key that signs the log."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from commands.signatures import is_signed
from domain.ids import LOG_KEYS_STREAM
from domain.ports import UnitOfWork
from domain.system.log_keys import LOG_KEYS, rotate


class RotateLogKey(Struct, frozen=True, kw_only=True):
    """From now on another key signs the log; ``note`` is the statement that both keys sign."""

    note: str

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (LOG_KEYS_STREAM,)


class LogKeyKnown(Struct, frozen=True):
    """The change is in the log."""

    note: str


def rotate_log_key(command: RotateLogKey, work: UnitOfWork) -> LogKeyKnown:
    """Record it.

    Raises:
        InvalidState: it is not signed by both keys, or another change came first.
    """
    keys = work.load(LOG_KEYS, LOG_KEYS_STREAM)
    keys.append(rotate(keys.state, command.note, is_signed))
    return LogKeyKnown(command.note)
