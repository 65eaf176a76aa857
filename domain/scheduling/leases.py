"""Leases: who has gone, decided from when heartbeats were committed.

A heartbeat renews the lease of its server and of every attempt that it lists. Silence counts
from the last heartbeat, but never from before the platform itself began to listen; and when
most of the farm falls silent at once it is the platform that went deaf, so nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from msgspec import Struct

from domain.system.configuration import Configuration
from domain.tasks.events import Reason

GPU_GRACE_S: Final = 15
"""An agent may take so long to say itself that a task died with its GPU."""
UNLISTED_GRACE_S: Final = 10
"""So long an attempt may be missing from a new life's heartbeats: its reports travel."""
DEAF_FARM_MIN: Final = 3
"""A farm smaller than this cannot tell its own silence from the platform's deafness."""
DEAF_S_MAX: Final = 600
"""After so long, while somebody is heard, even a vanished majority is believed gone."""


class Heard(Struct, frozen=True, kw_only=True):
    """The newest heartbeat of a server; ``at`` is when it was committed."""

    at: datetime
    boot_id: UUID
    draining: bool = False


class Held(Struct, frozen=True, kw_only=True):
    """An attempt that a server has, as the log says.

    ``boot_id`` is the life of the agent that got it. ``listed_at`` is when a heartbeat last
    listed it, ``gpu_failed_at`` when its GPU was found to have failed.
    """

    task_id: UUID
    attempt: int
    server_id: UUID
    boot_id: UUID | None
    assigned_at: datetime
    timeout_s: int
    began_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    listed_at: datetime | None = None
    gpu_failed_at: datetime | None = None


class WentSilent(Struct, frozen=True):
    """The server is offline; it ``stopped`` when its last word was that it would."""

    server_id: UUID
    last_seen_at: datetime
    stopped: bool


class AttemptLost(Struct, frozen=True):
    """The attempt is gone; ``counted`` when it had begun."""

    held: Held
    reason: Reason
    counted: bool


class CancelOverdue(Struct, frozen=True):
    """The agent did not confirm a cancellation in time."""

    held: Held


class Overran(Struct, frozen=True):
    """The agent lives and has not ended the attempt, long after its timeout."""

    held: Held


Verdict: TypeAlias = WentSilent | AttemptLost | CancelOverdue | Overran


def silence_s(heard: Heard | None, *, listening_since: datetime, now: datetime) -> float:
    """The seconds for which a server has been silent while the platform listened."""
    last = listening_since if heard is None else max(heard.at, listening_since)
    return (now - last).total_seconds()


def is_deaf(
    online: Iterable[UUID],
    heard: Mapping[UUID, Heard],
    *,
    configuration: Configuration,
    listening_since: datetime,
    now: datetime,
) -> bool:
    """Whether so many servers are silent that the platform must doubt itself."""
    silences = [
        silence_s(heard.get(server_id), listening_since=listening_since, now=now)
        for server_id in online
    ]
    silent = [s for s in silences if s > configuration.suspect_after_s]
    if len(silences) < DEAF_FARM_MIN or len(silent) * 2 <= len(silences):
        return False
    return len(silent) == len(silences) or max(silent) < DEAF_S_MAX


def judge(
    online: Iterable[UUID],
    attempts: Iterable[Held],
    heard: Mapping[UUID, Heard],
    *,
    configuration: Configuration,
    listening_since: datetime,
    now: datetime,
) -> list[Verdict]:
    """What is overdue now. Nothing is, while the platform doubts its own ears."""
    servers = list(online)
    if is_deaf(
        servers, heard, configuration=configuration, listening_since=listening_since, now=now
    ):
        return []
    verdicts: list[Verdict] = []
    for server_id in servers:
        last = heard.get(server_id)
        silent_s = silence_s(last, listening_since=listening_since, now=now)
        if silent_s > configuration.offline_after_s:
            last_seen_at = listening_since if last is None else last.at
            stopped = last is not None and last.draining
            verdicts.append(WentSilent(server_id, last_seen_at, stopped))
    for held in attempts:
        verdict = _of_attempt(
            held,
            heard.get(held.server_id),
            configuration=configuration,
            listening_since=listening_since,
            now=now,
        )
        if verdict is not None:
            verdicts.append(verdict)
    return verdicts


def _of_attempt(
    held: Held,
    heard: Heard | None,
    *,
    configuration: Configuration,
    listening_since: datetime,
    now: datetime,
) -> Verdict | None:
    def overdue(since: datetime, limit_s: float) -> bool:
        return (now - max(since, listening_since)).total_seconds() > limit_s

    if held.cancel_requested_at is not None:
        late = overdue(held.cancel_requested_at, configuration.cancel_deadline_s)
        return CancelOverdue(held) if late else None
    if held.began_at is None:
        renewed_at = held.listed_at or held.assigned_at
        late = overdue(renewed_at, configuration.start_deadline_s)
        late = late or _outlived(held, held.assigned_at, configuration)
        return AttemptLost(held, "agent_lost", counted=False) if late else None
    renewed_at = max(held.began_at, held.listed_at or held.began_at)
    if overdue(renewed_at, configuration.lease_lost_after_s):
        return AttemptLost(held, "agent_lost", counted=True)
    if held.gpu_failed_at is not None and overdue(held.gpu_failed_at, GPU_GRACE_S):
        return AttemptLost(held, "gpu_error", counted=True)
    if _outlived(held, held.began_at, configuration):
        return Overran(held)
    if heard is None or not overdue(renewed_at, UNLISTED_GRACE_S):
        return None
    if heard.at > renewed_at and heard.boot_id != held.boot_id:
        return AttemptLost(held, "agent_lost", counted=True)
    return None


def _outlived(held: Held, since: datetime, configuration: Configuration) -> bool:
    """Whether a heartbeat lists the attempt although its time, and the grace, are over.

    It is the agent's own word that counts: of one that ended in time, and whose report waits
    somewhere, no heartbeat speaks any more.
    """
    if held.listed_at is None:
        return False
    limit_s = held.timeout_s + configuration.timeout_grace_s
    return (held.listed_at - since).total_seconds() > limit_s
