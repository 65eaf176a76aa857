"""Row 6: rebuilding every read model, full path in one process, against reading their log.

Limit: psycopg's ``cursor.stream`` over the log and msgspec decoding every fact, nothing else.
Ours: a rebuild of all business read models from position 0, as after a deployment that has
changed them all: read, decode, fold, write rows and tallies, make all indexes, analyse, switch.
What is counted after the last switch, for an operator, is not in the time. Beside it the same
with the comparison that follows when the folds are the same, and by two processes. What each
rebuild costs however short the log is counts for less with more ``--events``.

Where the time goes: µs an event, a million events on two processors, the best of four rounds,
beside 2.3 of the limit; 7.7 in all.

    read, decode by windows            1.9   of which 0.9 to decode, 0.5 to wait for the server
    fold: eleven applications to 7     1.4
    pack and count what may change     1.0   tasks, users
    pack and count what is added       0.8   user actions, task events
    let go of events and rows, rest    0.9
    make indexes, two at once          1.3
    open, compare, show                0.3   some 0.25 s however long the log is

The first five are one thread's, and 5.2 of their 6.1 are its processor time, while the server
takes 3.5 on the other processor. So with every index, every wait and all that the server does
for nothing the ratio would be 0.44. No function has more than an eighth of it: what is left is
CPython's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from api.keys import load_keys
from api.parallel_filling import ParallelFilling
from benchmarks.history import write_history
from benchmarks.measure import Ratio, measure, options, tell
from commands.event_log.batch import APPEND_LOCK
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from domain.catalogue import decode
from projections.catalogue import BUSINESS
from projections.filling import Filling, fill_here
from projections.migrate import prepare
from projections.rebuild import Log, rebuild
from projections.rebuilt import Hearing, Rebuilt
from tests.stack import live_stack

EVENTS = 300_000
STREAM_ROWS = 1_000
RATIO = Ratio(
    row=6,
    name="a whole rebuild over only reading and decoding",
    ours="ours: rebuild of all read models, events/s",
    other="limit: cursor.stream + msgspec decode, events/s",
    target=0.5,
    moonshot=0.8,
)
TWO_WORKERS = "ours: the same by two processes, events/s"
COMPARED = "ours: the same and compared with the live rows, events/s"
OTHER_FOLDS = "UPDATE owl_read.checkpoints SET fingerprint = 'older' WHERE state = 'live'"
WEIGHTS = """
    SELECT split_part(relnamespace::regnamespace::text, '_g', 1), sum(relpages)::bigint
    FROM pg_class WHERE relnamespace::regnamespace::text LIKE 'rm\\_%' GROUP BY 1
"""
STREAM = """
    SELECT notification_id, originator_id, originator_version, recorded_at, actor, command_id,
        correlation_id, causation_id, state
    FROM owl_log.events WHERE notification_id <= %s ORDER BY notification_id
"""


class Rebuilds:
    """A log with a long history, and the ways through it."""

    def __init__(self, url: str, secrets_path: Path, events: int) -> None:
        prepare(url)
        self._url = url
        self._secrets_path = secrets_path
        keys = load_keys(secrets_path, make=True)
        secrets = Secrets(pepper=keys.pepper, sealing_key=keys.sealing)
        self._head = write_history(url, events)
        self._log = EventLog.open(url, secrets=secrets, require_durable=True)
        self.rebuilt_per_s(compared=False)

    def streamed_per_s(self) -> float:
        """The limit."""
        began, count = time.perf_counter(), 0
        with psycopg.connect(self._url) as connection, connection.cursor(binary=True) as cursor:
            for row in cursor.stream(STREAM, (self._head,), size=STREAM_ROWS, binary=True):
                decode(row[8])
                count += 1
        assert count == self._head
        return count / (time.perf_counter() - began)

    def rebuilt_per_s(self, *, compared: bool, workers: int = 1) -> float:
        """A whole rebuild."""
        if not compared:
            with psycopg.connect(self._url) as connection:
                connection.execute(OTHER_FOLDS)
        log = Log(feed=self._log.feed(), history=self._log.history(), append_lock=APPEND_LOCK)
        began = switched = time.perf_counter()

        def concluded(_: Rebuilt) -> None:
            nonlocal switched
            switched = time.perf_counter()

        done = rebuild(
            self._url,
            log,
            BUSINESS,
            progress=lambda _: None,
            hearing=Hearing(concluded=concluded),
            filling=self._by(workers),
        )
        elapsed_s = switched - began
        assert all(each.compared == compared and not each.differing for each in done)
        return self._head / elapsed_s

    def close(self) -> None:
        """Give the connections back."""
        self._log.close()

    def _by(self, workers: int) -> Filling:
        if workers == 1:
            return fill_here
        with psycopg.connect(self._url) as connection:
            rows = connection.execute(WEIGHTS).fetchall()
        weights = {schema.removeprefix("rm_"): pages for schema, pages in rows}
        return ParallelFilling(self._url, self._secrets_path, workers, weights)


def main() -> None:
    """Run."""
    chosen = options(__doc__ or "", events=EVENTS)
    with ExitStack() as open_:
        secrets_path = Path(open_.enter_context(TemporaryDirectory()))
        stack = open_.enter_context(live_stack(profile="durable", with_nats=False))
        rebuilds = Rebuilds(stack.create_database(), secrets_path, chosen.events)
        open_.callback(rebuilds.close)
        contestants: dict[str, Callable[[], float]] = {
            RATIO.other: rebuilds.streamed_per_s,
            RATIO.ours: lambda: rebuilds.rebuilt_per_s(compared=False),
            TWO_WORKERS: lambda: rebuilds.rebuilt_per_s(compared=False, workers=2),
            COMPARED: lambda: rebuilds.rebuilt_per_s(compared=True),
        }
        tell(measure(contestants, (RATIO,), chosen), chosen)


if __name__ == "__main__":
    main()
