"""The agent's right to run tasks: a lease that each committed heartbeat renews.

The platform gives up an agent whose heartbeats stay away and starts its tasks elsewhere. So an
agent that cannot tell whether it is heard ends its own work before the platform's lease runs
out: the old attempt is dead before the new one starts. Pure: time comes in as monotonic
seconds, which go on while the process is stopped.
"""

from __future__ import annotations

from typing import Final

LEAST_SHARE: Final = 0.5
"""Of the lease: however short it is, so much of it may pass unheard."""
MARGIN_S: Final = 10.0
"""For the news of the stop to come true: killed groups reaped, a busy machine."""
REMEMBERED_HEARTBEATS: Final = 256


class Lease:
    """Counts from the sending of the newest heartbeat that is known to be committed.

    The platform counts from when it received it, which is later: the agent's count is the
    stricter one, without any clock in common.
    """

    def __init__(self, *, now: float, grace_s: float, lease_s: float) -> None:
        self._grace_s = grace_s
        self._lease_s = lease_s
        self._renewed_at = now
        self._sent_at: dict[int, float] = {}

    @property
    def safe_s(self) -> float:
        """How long the agent may go unheard."""
        return max(LEAST_SHARE * self._lease_s, self._lease_s - self._grace_s - MARGIN_S)

    def sent(self, sequence: int, *, now: float) -> None:
        """A heartbeat goes out."""
        self._sent_at[sequence] = now
        while len(self._sent_at) > REMEMBERED_HEARTBEATS:
            del self._sent_at[next(iter(self._sent_at))]

    def confirm(self, sequence: int, *, lease_s: float) -> None:
        """The heartbeat ``sequence`` is committed, and ``lease_s`` is the platform's lease."""
        self._lease_s = lease_s
        sent_at = self._sent_at.get(sequence)
        if sent_at is not None:
            self._renewed_at = max(self._renewed_at, sent_at)
        for older in [known for known in self._sent_at if known <= sequence]:
            del self._sent_at[older]

    def expired(self, *, now: float) -> bool:
        """Whether the agent's own work must end now."""
        return now - self._renewed_at >= self.safe_s
