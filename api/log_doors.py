"""What ``projections`` needs of one of the two logs."""

from __future__ import annotations

from commands.event_log.batch import APPEND_LOCK
from commands.event_log.log import EventLog
from commands.event_log.telemetry import TELEMETRY_LOCK
from projections.read_model import Source
from projections.rebuild import Log


def door_to(log: EventLog, source: Source) -> Log:
    """To rebuild read models of this source."""
    if source == "business":
        return Log(feed=log.feed(), history=log.history(), append_lock=APPEND_LOCK)
    telemetry = log.telemetry
    return Log(feed=telemetry.feed(), history=telemetry.history(), append_lock=TELEMETRY_LOCK)
