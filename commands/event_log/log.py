"""The event log: an application of the ``eventsourcing`` library with our recorder and mapper.

It opens and checks the log and reads it; what changes it goes through the writer, which appends
by the connections of ``session.py``.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any, Self
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import InfrastructureFactory, Mapper
from eventsourcing.utils import Environment

from commands.event_log.engine import LogFactory, check_server
from commands.event_log.feed import Ring, RingFeed
from commands.event_log.history import LogHistory
from commands.event_log.mapper import FactMapper
from commands.event_log.reading import Raw, Reading, StoredKeys
from commands.event_log.secrets import Secrets
from commands.event_log.telemetry import TelemetryLog
from domain.envelope import Recorded


class EventLog(Application[UUID]):
    """Open with ``EventLog.open``; a context manager. Blocking, and safe from any thread."""

    name = "owl"

    def __init__(self, conninfo: str, secrets: Secrets) -> None:
        self.conninfo = conninfo
        self.secrets = secrets
        self.ring = Ring()
        super().__init__()
        self._reading = Reading(self._datastore, "events", self._keys)

    @classmethod
    def open(cls, conninfo: str, *, secrets: Secrets, require_durable: bool) -> Self:
        """Open a migrated log.

        Raises:
            NotDurable: a setting with which an acknowledged write can be lost.
            OutOfReach: the server is not there.
        """
        log = cls(conninfo, secrets)
        try:
            check_server(log._datastore, require_durable=require_durable)
        except BaseException:
            log.close()
            raise
        return log

    def read_streams(self, streams: Collection[UUID]) -> list[Recorded[Any]]:
        """All events of these streams, in the log's order."""
        return self._reading.streams(streams)

    def heads(self, streams: Collection[UUID]) -> dict[UUID, int]:
        """The version of each of these streams, 0 for one that does not exist."""
        return self._reading.heads(streams)

    def find_command(self, command_id: UUID) -> list[Recorded[Any]]:
        """What a command did; nothing if it did not happen."""
        return self._reading.command(command_id)

    def feed(self) -> RingFeed:
        """The log in order; all feeds of a process share the newest events."""
        return RingFeed(self.ring, self._reading.head, self._reading.after)

    def history(self) -> LogHistory:
        """The log in long stretches, past the ring."""
        return LogHistory(self.conninfo, "events", self._keys, self._reading.head)

    def read_raw(self, after: int, limit: int) -> list[Raw]:
        """At most ``limit`` events above position ``after`` as stored, for the relay."""
        return self._reading.raw_after(after, limit)

    def forget_key(self, user_id: UUID) -> None:
        """A user's key was destroyed: stop reading with it at once."""
        self._keys.forget(user_id)

    @cached_property
    def telemetry(self) -> TelemetryLog:
        """The other log."""
        return TelemetryLog(self._datastore, self._keys, self.conninfo)

    @property
    def texts(self) -> StoredKeys:
        """Opens what users wrote for themselves, ``domain.ports.PrivateTexts``."""
        return self._keys

    # ── what the library asks for ──────────────────────────────────────────────────────────

    def construct_factory(self, env: Environment) -> InfrastructureFactory[Any]:
        """Our factory; refuses what would lose events."""
        factory = LogFactory(env, self.conninfo)
        self._datastore = factory.datastore
        return factory

    def construct_mapper(self) -> Mapper[UUID]:
        """Our mapper."""
        self._keys = StoredKeys(self._datastore, self.secrets)
        return FactMapper(self._keys.key_of)
