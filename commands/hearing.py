"""What the platform has heard from agents lately, and for how long it has been listening.

Kept by ingest as heartbeats are committed; asked by the scheduler and the leases. It starts
empty with each leadership: nobody is silent before the platform has listened long enough.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from domain.fleet.messages import Heartbeat
from domain.scheduling.leases import Heard, silence_s

GAP_S: Final = 5.0
"""After so long without listening, everybody's silence counts anew."""


class Hearing:
    """The newest heartbeat of each server."""

    def __init__(self) -> None:
        self.heard: dict[UUID, Heard] = {}
        self.listed: dict[tuple[UUID, int], datetime] = {}
        """When a heartbeat last listed an attempt, by task and attempt."""
        self.since: datetime | None = None
        self._listened_at: datetime | None = None

    def begin(self, now: datetime) -> None:
        """Start to listen; nothing was heard before."""
        self.heard.clear()
        self.listed.clear()
        self.since = now
        self._listened_at = now

    def listened(self, now: datetime) -> None:
        """Nothing that was sent before now is still unread, as far as one can know."""
        if self._listened_at is None:
            self.begin(now)
        elif (now - self._listened_at).total_seconds() > GAP_S:
            self.since = now
        self._listened_at = now

    def hear(self, heartbeat: Heartbeat, at: datetime) -> None:
        """A heartbeat was committed."""
        self.heard[heartbeat.server_id] = Heard(
            at=at, boot_id=heartbeat.boot_id, draining=heartbeat.draining
        )
        for running in heartbeat.running:
            self.listed[running.task_id, running.attempt] = at

    def is_listening(self, now: datetime) -> bool:
        """Whether silence means anything now."""
        return (
            self._listened_at is not None and (now - self._listened_at).total_seconds() <= GAP_S
        )

    def takes_work(self, server_id: UUID, now: datetime, suspect_after_s: float) -> bool:
        """Whether a server is fresh enough for new work, and wants it.

        One that was not heard since this began to listen may have gone long ago.
        """
        heard = self.heard.get(server_id)
        if self.since is None or heard is None or heard.draining:
            return False
        return silence_s(heard, listening_since=self.since, now=now) <= suspect_after_s

    def forget_ended(self, open_attempts: set[tuple[UUID, int]]) -> None:
        """Drop what concerns attempts that are over, so that this does not grow."""
        for key in [key for key in self.listed if key not in open_attempts]:
            del self.listed[key]
