"""How fast a log is verified: every stored byte hashed, the tree grown, every rule checked.

Against the rebuild of one read model, the tasks, from the same log in the same round: both read
and decode every event, the one folds and writes rows, the other hashes and folds everything.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.history import write_history
from benchmarks.measure import Ratio, measure, options, tell
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from domain.audit.refold import Refold
from projections.audit.stored import StoredLog
from projections.audit.verify import Verification
from projections.migrate import prepare
from projections.rebuild import Log, rebuild
from projections.runner import Runner
from projections.tasks import TASKS
from tests.audit.conftest import sign_all, verifier_key
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
HASHES_ALONE = "ours: verify, hashes and tree, events/s"


class History:
    """A long log, signed and projected."""

    def __init__(self, url: str) -> None:
        prepare(url)
        self._url = url
        self._head = write_history(url, EVENTS)
        asyncio.run(sign_all(url, events_max=4_096))
        self._key = verifier_key(url)
        secrets = Secrets(pepper=os.urandom(32), sealing_key=os.urandom(32))
        self._log = EventLog.open(url, secrets=secrets, require_durable=True)
        runner = Runner(self._log.feed(), url, [TASKS], projected=None)
        while runner.step():
            pass
        runner.close()

    def verified_per_s(self, *, refold: bool) -> float:
        """As ``owl audit verify``, or with ``--since 0``."""
        gc.disable()
        began = time.perf_counter()
        with StoredLog.open(self._url) as log:
            run = Verification(log, key=self._key, refold=Refold() if refold else None)
            assert run.run().findings == ()
        elapsed_s = time.perf_counter() - began
        gc.enable()
        return self._head / elapsed_s

    def rebuilt_per_s(self) -> float:
        """As ``owl projections rebuild tasks``."""
        log = Log(feed=self._log.feed(), history=self._log.history(), append_lock=APPEND_LOCK)
        (done,) = rebuild(self._url, log, [TASKS], progress=lambda _: None)
        assert done.compared
        assert not done.differing
        return self._head / done.seconds

    def close(self) -> None:
        """Give the connections back."""
        self._log.close()


def main() -> None:
    """Run."""
    chosen = options(__doc__ or "")
    with ExitStack() as open_:
        stack = open_.enter_context(live_stack(profile="durable", with_nats=False))
        history = History(stack.create_database())
        open_.callback(history.close)
        contestants: dict[str, Callable[[], float]] = {
            RATIO.other: history.rebuilt_per_s,
            RATIO.ours: lambda: history.verified_per_s(refold=True),
            HASHES_ALONE: lambda: history.verified_per_s(refold=False),
        }
        tell(measure(contestants, (RATIO,), chosen), chosen)


if __name__ == "__main__":
    main()
