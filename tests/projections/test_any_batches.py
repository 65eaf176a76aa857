"""However a log is cut, the same rows come of it: shares, batches, chunks, kept rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.ports import EventHistory
from projections.catalogue import BUSINESS
from projections.filling import fill_here
from projections.pace import BuildingConfig
from projections.projector import Generation
from projections.rebuild import Log, rebuild
from tests.projections.feed import ListFeed, ListHistory
from tests.projections.history import RandomFarm
from tests.projections.tables import naive, project, stored

LOG = RandomFarm(75).happen(120)
CUTS = {
    "workers": st.integers(1, 8),
    "read_events": st.integers(1, 60),
    "chunk_events": st.integers(1, 60),
    "rows_kept": st.integers(1, 60),
}
FEW = settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MANY = settings(FEW, max_examples=200)


class Shares:
    """``projections.filling.Filling`` by as many builders as there would be workers."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __call__(
        self,
        conninfo: str,
        history: EventHistory,
        generations: Sequence[Generation],
        upto: int,
        config: BuildingConfig,
        tell: Callable[[int], None],
    ) -> dict[str, str]:
        failed: dict[str, str] = {}
        for first in range(self.workers):
            share = generations[first :: self.workers]
            if share:
                failed |= fill_here(conninfo, history, share, upto, config, tell)
        return failed


def build_and_compare(
    url: str, *, workers: int, read_events: int, chunk_events: int, rows_kept: int
) -> None:
    feed = ListFeed(LOG)
    history = ListHistory(feed, read_events)
    project(url, feed.events)
    done = rebuild(
        url,
        Log(feed=feed, history=history, append_lock=(42, 1)),
        BUSINESS,
        progress=lambda _: None,
        config=BuildingConfig(
            chunk_events=chunk_events, batch_events=read_events, rows_kept=rows_kept
        ),
        filling=Shares(workers),
    )
    assert all(each.compared and not each.differing for each in done)
    for model in BUSINESS:
        assert stored(url, model) == naive(model, feed.events)


@FEW
@given(**CUTS)
def test_however_a_log_is_cut_the_same_rows_come_of_it(read_url: str, **cuts: int) -> None:
    build_and_compare(read_url, **cuts)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@MANY
@given(**CUTS)
def test_however_a_log_is_cut_two_hundred_times(read_url: str, **cuts: int) -> None:
    build_and_compare(read_url, **cuts)
