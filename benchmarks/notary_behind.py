"""What it costs those who write that the notary, far behind, catches up without room for it.

One saturated writer the whole time, as in ``notary``, and a notary that has lost its patience:
what writers who need the whole machine for longer than that bear. It is held and let go on by
turns, in random order, since a machine's own pace wanders by more within a minute than this
costs: two windows of half a minute, one after the other, prove nothing.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import ExitStack
from functools import partial
from typing import Final

import psutil
import psycopg

from benchmarks.measure import Ratio, measure, options, tell
from benchmarks.notary import NotaryApart, PacedFarm
from commands.notary import Config
from tests.stack import live_stack

RATIO: Final = Ratio(
    row=14,
    name="events appended while the notary catches up over those while it is held",
    ours="it catches up: appended, events/s",
    other="it is held: appended, events/s",
    target=0.97,
    moonshot=0.99,
)
SIGNED: Final = "it catches up: signed, events/s"
IMPATIENT: Final = Config(patience_s=0.0)
FIRST_S: Final = 4.0
SETTLES_S: Final = 0.15
READ_HEAD: Final = "SELECT coalesce(max(notification_id), 0) FROM owl_log.events"
READ_SIGNED: Final = "SELECT coalesce(max(size), 0) FROM owl_log.signed_checkpoints"


class ByTurns:
    """Measures both ways of a round when the first figure is asked for."""

    def __init__(self, url: str, notary: psutil.Process, seconds: float) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._notary = notary
        self._seconds = seconds
        self._left: dict[str, float] = {}

    def figure(self, name: str) -> float:
        """One of this round, or of the next one when this was told."""
        if name not in self._left:
            for way in random.sample([self._held, self._let_go], 2):
                way()
        return self._left.pop(name)

    def close(self) -> None:
        """Give the connection back."""
        self._notary.resume()
        self._connection.close()

    def _held(self) -> None:
        self._notary.suspend()
        self._left[RATIO.other], _ = self._grown()

    def _let_go(self) -> None:
        self._notary.resume()
        self._left[RATIO.ours], self._left[SIGNED] = self._grown()

    def _grown(self) -> tuple[float, float]:
        """By how many events a second the log grows, and what is signed of it."""
        time.sleep(SETTLES_S)
        head, signed, began = (
            self._read(READ_HEAD),
            self._read(READ_SIGNED),
            time.perf_counter(),
        )
        time.sleep(self._seconds)
        elapsed_s = time.perf_counter() - began
        return (
            (self._read(READ_HEAD) - head) / elapsed_s,
            (self._read(READ_SIGNED) - signed) / elapsed_s,
        )

    def _read(self, query: str) -> int:
        row = self._connection.execute(query).fetchone()
        assert row is not None
        return int(row[0])


def main() -> None:
    """Run."""
    chosen = options(__doc__ or "", rounds=60, seconds=0.8)
    whole_s = FIRST_S + 2 * chosen.rounds * (chosen.seconds + SETTLES_S) * 1.1
    with ExitStack() as open_:
        stack = open_.enter_context(live_stack(profile="durable", with_nats=False))
        url = stack.create_database()
        farm = PacedFarm(url)
        open_.callback(farm.close)
        farm.appended_per_s(2.0)  # warm
        notary = NotaryApart(url, IMPATIENT)
        open_.callback(notary.close)
        open_.enter_context(notary.at_work())
        writing = threading.Thread(target=farm.appended_per_s, args=(whole_s,))
        writing.start()
        open_.callback(writing.join)
        time.sleep(FIRST_S)  # by then it is behind
        turns = ByTurns(url, notary.process, chosen.seconds)
        open_.callback(turns.close)
        names = (RATIO.other, RATIO.ours, SIGNED)
        contestants = {name: partial(turns.figure, name) for name in names}
        tell(measure(contestants, (RATIO,), chosen), chosen)
        assert writing.is_alive(), "the writer ended before the last round"


if __name__ == "__main__":
    main()
