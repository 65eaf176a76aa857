"""What the notary costs the write path: events appended with it at work, over those without.

The notary runs in a process of its own, as in ``owl work``, and signs every second what 128
submitters append through the writer. Both shares of a round are measured one after the other,
in turn first and second, since a log that has grown is a little slower.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from benchmarks.measure import Ratio, measure, options, tell
from benchmarks.projection import Farm
from commands.lease import Lease
from commands.notary import Notary
from commands.signals import LocalSignal
from commands.signatures import SigningKey
from tests.stack import live_stack

RATIO = Ratio(
    row=14,
    name="events appended with the notary over those without",
    ours="ours: appended with the notary at work, events/s",
    other="ours: appended without it, events/s",
    target=0.97,
    moonshot=0.99,
)


def notarise(url: str) -> None:
    """Sign until killed."""
    asyncio.run(_notarise(url))


async def _notarise(url: str) -> None:
    fence = await Lease(url, "notary", "benchmark").acquire()
    assert fence is not None
    notary = Notary(
        url,
        lambda: [SigningKey(bytes(32))],
        clock=lambda: datetime.now(UTC),
        committed=LocalSignal(),
    )
    await notary.run(fence)


@contextmanager
def at_work(url: str) -> Iterator[None]:
    """With a notary in a process of its own."""
    process = multiprocessing.get_context("spawn").Process(target=notarise, args=(url,))
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def main() -> None:
    """Run."""
    chosen = options(__doc__ or "", seconds=5.0)
    with ExitStack() as open_:
        stack = open_.enter_context(live_stack(profile="durable", with_nats=False))
        url = stack.create_database()
        farm = Farm(url)
        open_.callback(farm.close)
        farm.appended_per_s(2.0)  # warm

        def without() -> float:
            return farm.appended_per_s(chosen.seconds)

        def with_notary() -> float:
            with at_work(url):
                farm.appended_per_s(2.0)  # it signs what came without it
                return farm.appended_per_s(chosen.seconds)

        contestants = {RATIO.other: without, RATIO.ours: with_notary}
        tell(measure(contestants, (RATIO,), chosen), chosen)


if __name__ == "__main__":
    main()
