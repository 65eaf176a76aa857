"""What can go wrong between the platform and its log, told apart by what the caller may do.

Refusals of the domain are none of these.
"""

from __future__ import annotations

import psycopg
from psycopg.pq import DiagnosticField
from psycopg.pq.abc import PGresult

from domain.envelope import Fence

UNIQUE_VIOLATION = b"23505"
SERIALIZATION_FAILURE = b"40001"
DEADLOCK = b"40P01"
LEASE_LOST = b"OW001"
# a second commit of the same version, or under the same client's key
RACES = {b"events_stream", b"receipts_key"}
# 53 resources, 55P03 lock timeout, 57014 statement timeout, 25006 a standby: nothing happened
BUSY_CLASSES = (b"53", b"55P03", b"57014", b"25006", DEADLOCK)
# 08 connection, 57P0x the server goes down: what was under way may have happened or not
LOST_CLASSES = (b"08", b"57P")


class LogFailure(Exception):
    """The base of these failures."""


class Conflict(LogFailure):
    """Somebody else was faster: nothing was recorded, decide again."""


class LeaseLost(LogFailure):
    """A fence did not hold: nothing was recorded."""

    def __init__(self, fence: Fence) -> None:
        super().__init__(fence)
        self.fence = fence


class Busy(LogFailure):
    """The server had to give up (a lock, time, space): nothing was recorded, try later."""


class ConnectionLost(LogFailure):
    """What was under way may have been recorded or not: ask the log."""


class Defect(LogFailure):
    """The server refused what was sent; nothing was recorded, and trying again is no use."""


class Unreadable(Exception):
    """A stream holds an event that this program cannot read: an older program, or a defect."""


class NotDurable(Exception):
    """A setting with which an acknowledged write can be lost, or an event missed."""


def failure_of(result: PGresult) -> LogFailure:
    """The failure that an error result means."""
    state = result.error_field(DiagnosticField.SQLSTATE) or b""
    message = result.get_error_message()
    if state == UNIQUE_VIOLATION:
        constraint = result.error_field(DiagnosticField.CONSTRAINT_NAME)
        return Conflict(message) if constraint in RACES else Defect(message)
    if state == SERIALIZATION_FAILURE:
        return Conflict(message)
    if state == LEASE_LOST:
        detail = result.error_field(DiagnosticField.MESSAGE_DETAIL) or b""
        epoch, _, name = detail.decode().partition(" ")
        return LeaseLost(Fence(name, int(epoch)))
    if state.startswith(BUSY_CLASSES):
        return Busy(message)
    if state.startswith(LOST_CLASSES):
        return ConnectionLost(message)
    return Defect(message)


def failure_of_error(error: psycopg.Error) -> LogFailure:
    """The same for an error that psycopg raised."""
    if error.pgresult is not None:
        return failure_of(error.pgresult)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return ConnectionLost(str(error))
    return Defect(str(error))
