"""Brings what is being built on from where its history ended, as live ones go."""

from __future__ import annotations

import psycopg

from domain.ports import EventFeed, Undecodable
from projections.projector import Generation, Projector

NO_TIMEOUT = "SET statement_timeout = 0"


class Follower:
    """Follows a log on demand, on a connection of its own."""

    def __init__(
        self, conninfo: str, feed: EventFeed, *, batch_events: int, rows_kept: int
    ) -> None:
        connection = psycopg.connect(conninfo, autocommit=True)
        self._projector = Projector(connection, rows_kept=rows_kept)
        connection.execute(NO_TIMEOUT)
        self._feed = feed
        self._batch_events = batch_events

    def follow(self, generation: Generation, upto: int) -> int:
        """Project what there is up to ``upto``; everything is committed then.

        Raises:
            Poisoned: a fold failed.
            Undecodable: an event that the read model is about cannot be read.
        """
        while generation.position < upto:
            limit = min(self._batch_events, upto - generation.position)
            try:
                events = self._feed.read(generation.position, limit)
            except Undecodable as bad:
                if generation.read_model.is_about(bad.tag):
                    raise
                self._projector.go_past([generation], bad.position)
                continue
            assert events, "the log ends before its own head"
            for poison in self._projector.project([generation], events).values():
                raise poison
        return generation.position

    def follow_to_head(self, generation: Generation) -> int:
        """Project all there is."""
        return self.follow(generation, self._feed.head())

    def close(self) -> None:
        """Let go of the connection."""
        self._projector.close()
