"""How fast a log is verified: every stored byte hashed, the tree grown, every rule checked.

Against the rebuild of one read model, the tasks, from the same log in the same round: both read
and decode every event, the one folds and writes rows, the other hashes and folds everything.
And what anything was at a position, asked of a random task or user; ``--events 10000000`` is
the size that is promised.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime

import psycopg

from benchmarks.long_history import EVENTS_OF_A_LIFE, member, write_long_history
from benchmarks.measure import Ratio, measure, options, tell
from benchmarks.rebuild import OTHER_FOLDS
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from commands.notary import Notary
from commands.signals import LocalSignal
from commands.team_lease import TeamLease
from domain.audit.refold import Refold
from projections.audit.entity import Entity, state
from projections.audit.stored import StoredLog
from projections.audit.verify import Verification
from projections.migrate import prepare
from projections.rebuild import Log, rebuild
from projections.tasks import TASKS
from tests.audit.conftest import KEY, verifier_key
from tests.stack import live_stack

EVENTS = 200_000
APPEND_LOCK = (7305068, 1)
RATIO = Ratio(
    row=13,
    name="events verified over events rebuilt into the tasks",
    ours="ours: verify, hashes, tree and refold, events/s",
    other="ours: rebuild of the tasks, by the live feed, events/s",
    target=0.6,
    moonshot=1.0,
)
STATE = Ratio(
    row=13,
    name="the state of one user or task as of a position, p95 over 50 ms",
    ours="ours: state as of a position, p95, ms",
    other="limit: 50 ms",
    target=1.0,
    moonshot=0.2,
    less_is_better=True,
)
ASKED = 300
HASHES_ALONE = "ours: verify, hashes and tree, events/s"


class History:
    """A long log, signed and projected."""

    def __init__(self, url: str, events: int) -> None:
        prepare(url)
        self._url = url
        began = time.perf_counter()
        self._head = write_long_history(url, events)
        written_s, began = time.perf_counter() - began, time.perf_counter()
        _sign(url)
        signed_s = time.perf_counter() - began
        print(f"written in {written_s:.0f} s, signed in {signed_s:.0f} s", file=sys.stderr)
        self._key = verifier_key(url)
        secrets = Secrets(pepper=os.urandom(32), sealing_key=os.urandom(32))
        self._log = EventLog.open(url, secrets=secrets, require_durable=True)
        with psycopg.connect(url) as connection:
            connection.execute(OTHER_FOLDS)  # so it is built at once, and compared with nothing
        rebuild(url, self._door(), [TASKS], progress=lambda _: None)

    def verified_per_s(self, *, refold: bool) -> float:
        """As ``owl audit verify``, or with ``--since 0``."""
        gc.disable()
        began = time.perf_counter()
        with StoredLog.open(self._url) as log:
            run = Verification(
                log, key=self._key, refold=Refold() if refold else None, beside=self._url
            )
            assert run.run().findings == ()
        elapsed_s = time.perf_counter() - began
        gc.enable()
        return self._head / elapsed_s

    def rebuilt_per_s(self) -> float:
        """As ``owl projections rebuild tasks``."""
        (done,) = rebuild(self._url, self._door(), [TASKS], progress=lambda _: None)
        assert done.compared
        assert not done.differing
        return self._head / done.seconds

    def state_p95_ms(self) -> float:
        """As ``owl audit state --at``, of users and tasks from the whole history."""
        return asyncio.run(self._state_p95_ms())

    async def _state_p95_ms(self) -> float:
        dice, took = random.Random(13), []
        lives = self._head // EVENTS_OF_A_LIFE
        async with await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, options="-c timezone=UTC"
        ) as connection:
            for number in range(ASKED):
                nth = dice.randrange(1, lives + 1)
                kind, of = ("user", 0) if number % 2 else ("task", dice.randrange(2, 102))
                entity = Entity.parse(f"{kind}:{member(nth, of)}")
                began = time.perf_counter()
                assert await state(connection, entity, self._head), entity
                took.append((time.perf_counter() - began) * 1000)
        return statistics.quantiles(took, n=20)[-1]

    def _door(self) -> Log:
        feed, history = self._log.feed(), self._log.history()
        return Log(feed=feed, history=history, append_lock=APPEND_LOCK)

    def close(self) -> None:
        """Give the connections back."""
        self._log.close()


def _sign(url: str) -> None:
    """All of it, in steps as large as the notary's own."""
    notary = Notary(
        url, lambda: (KEY,), clock=lambda: datetime.now(UTC), committed=LocalSignal()
    )
    fence = asyncio.run(TeamLease(url, "notary", "benchmark").acquire())
    assert fence is not None
    with notary.resumed() as session:
        count = 1
        while count:
            while session.take_in():
                pass
            count = session.sign(fence)


def main() -> None:
    """Run."""
    chosen = options(__doc__ or "", events=EVENTS)
    with ExitStack() as open_:
        stack = open_.enter_context(live_stack(profile="durable", with_nats=False))
        history = History(stack.create_database(), chosen.events)
        open_.callback(history.close)
        contestants: dict[str, Callable[[], float]] = {
            RATIO.other: history.rebuilt_per_s,
            RATIO.ours: lambda: history.verified_per_s(refold=True),
            HASHES_ALONE: lambda: history.verified_per_s(refold=False),
            STATE.ours: history.state_p95_ms,
            STATE.other: lambda: 50.0,
        }
        tell(measure(contestants, (RATIO, STATE), chosen), chosen)


if __name__ == "__main__":
    main()
