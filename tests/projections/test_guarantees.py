"""What a rebuild promises: the same rows whoever builds, and no event astride a switch."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, LiteralString

import psycopg
import pytest

from api.keys import load_keys
from api.parallel_filling import ParallelFilling
from commands.event_log.batch import APPEND_LOCK
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from projections.catalogue import BUSINESS
from projections.following import Follower
from projections.generations import make_indexes, open_building
from projections.jobs import read_jobs, wish_for
from projections.pace import BuildingConfig
from projections.progress import Progress
from projections.rebuild import Log, rebuild
from projections.runner import Runner
from projections.switching import switch
from projections.users import USERS
from projections.wishes import Stopped
from tests.audit.stories import insert, played
from tests.projections.feed import ListFeed, ListHistory
from tests.projections.history import RandomFarm
from tests.projections.tables import finish, naive, project, stored

LOCK: Final = (42, 1)
WAITING: Final = """
    SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND (classid, objid) = (42, 1)
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
FEEDING: Final = """
    SELECT FROM owl_read.checkpoints WHERE read_model = 'users' AND state = 'live' FOR UPDATE
"""
WAITING_FOR_ROWS: Final = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
        AND query LIKE '%checkpoints%'
"""


def test_any_number_of_workers_and_any_chunks_build_the_same_rows(
    read_url: str, tmp_path: Path
) -> None:
    keys = load_keys(tmp_path, make=True)
    secrets = Secrets(pepper=keys.pepper, sealing_key=keys.sealing)
    with psycopg.connect(read_url) as connection:
        insert(connection, played(72, 600).stored())
    checksums = []
    with EventLog.open(read_url, secrets=secrets, require_durable=False) as log:
        with closing(Runner(log.feed(), read_url, BUSINESS, projected=None)) as runner:
            finish(runner)
        door = Log(feed=log.feed(), history=log.history(), append_lock=APPEND_LOCK)
        for workers, chunk_events in ((1, 7), (2, 190), (3, 20_000)):
            done = rebuild(
                read_url,
                door,
                BUSINESS,
                progress=lambda _: None,
                config=BuildingConfig(chunk_events=chunk_events, batch_events=50),
                filling=ParallelFilling(read_url, tmp_path, workers, {"tasks": workers}),
            )
            assert all(each.compared and not each.differing for each in done)
            checksums.append({each.read_model: each.checksum for each in done})
    assert checksums[0] == checksums[1] == checksums[2]


# ── no event astride a switch ────────────────────────────────────────────────────────────────


class Astride:
    """A generation that is built and current, and a log to which one more event can come."""

    def __init__(self, url: str, seed: int) -> None:
        self.url = url
        self.story = RandomFarm(seed).happen(90)
        self.feed = ListFeed(self.story[:-1])
        project(url, self.feed.events)
        self.built = open_building(url, [USERS])["users"].generation
        make_indexes(url, [self.built], leave_room=lambda: False)
        self.follower = Follower(url, self.feed, batch_events=50, rows_kept=50)

    def switch(self) -> int:
        with psycopg.connect(self.url, autocommit=True) as showing:
            number = self.built.generation
            return switch(showing, USERS, number, append_lock=LOCK, catch_up=self.catch_up)

    def catch_up(self) -> int:
        return self.follower.follow_to_head(self.built)

    def append(self) -> None:
        """As the log does: whoever appends holds the lock until its commit."""
        with psycopg.connect(self.url) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", LOCK)
            self.feed.events.append(self.story[-1])

    def until_somebody_waits(self, waiting: LiteralString = WAITING) -> None:
        deadline = time.monotonic() + 30
        with psycopg.connect(self.url, autocommit=True) as connection:
            while connection.execute(waiting).fetchall() == [(0,)]:
                assert time.monotonic() < deadline, "nobody waits for the lock"

    def check(self) -> None:
        """Whoever has been told of the last event finds it in what queries see."""
        project(self.url, self.feed.events)
        assert stored(self.url, USERS) == naive(USERS, self.story)


@pytest.fixture
def astride(read_url: str) -> Iterator[Astride]:
    ready = Astride(read_url, 73)
    with closing(ready.follower):
        yield ready


def test_an_append_before_the_switch_is_in_what_it_shows(astride: Astride) -> None:
    astride.append()
    assert astride.switch() == len(astride.story)
    astride.check()


def test_an_append_that_is_open_when_the_switch_comes_is_waited_for(astride: Astride) -> None:
    shown: list[int] = []
    thread = threading.Thread(target=lambda: shown.append(astride.switch()))
    with psycopg.connect(astride.url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", LOCK)
        thread.start()
        astride.until_somebody_waits()
        assert shown == []
        astride.feed.events.append(astride.story[-1])
    thread.join(30)
    assert shown == [len(astride.story)]
    astride.check()


def test_an_append_that_comes_during_the_switch_waits_and_is_folded_after_it(
    astride: Astride,
) -> None:
    thread = threading.Thread(target=astride.append)
    caught_up = astride.catch_up
    calls = iter((False, True))

    def catch_up_while_somebody_appends() -> int:
        if next(calls):  # the second time appends are held
            thread.start()
            astride.until_somebody_waits()
        return caught_up()

    astride.catch_up = catch_up_while_somebody_appends  # type: ignore[method-assign]
    assert astride.switch() == len(astride.story) - 1
    thread.join(30)
    astride.check()


def test_no_append_waits_while_a_switch_waits_for_what_feeds_the_rows(
    astride: Astride,
) -> None:
    shown: list[int] = []
    thread = threading.Thread(target=lambda: shown.append(astride.switch()))
    with psycopg.connect(astride.url) as feeding:
        feeding.execute(FEEDING)
        thread.start()
        astride.until_somebody_waits(WAITING_FOR_ROWS)
        with psycopg.connect(astride.url) as appending:
            free = appending.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", LOCK)
            assert free.fetchall() == [(True,)]
    thread.join(30)
    assert shown == [len(astride.story) - 1]
    astride.append()
    astride.check()


# ── progress ─────────────────────────────────────────────────────────────────────────────────


def test_the_estimate_is_what_is_left_at_the_pace_and_a_pause_takes_nothing_back(
    read_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = ListFeed(RandomFarm(74).happen(600))
    project(read_url, feed.events)
    door = Log(feed=feed, history=ListHistory(feed), append_lock=LOCK)
    small = BuildingConfig(chunk_events=10, batch_events=20)
    monkeypatch.setattr("projections.progress.TELL_EVERY_S", 0.0)
    monkeypatch.setattr("projections.progress.SETTLED_S", 0.0)
    before: list[Progress] = []

    def pause_half_way(progress: Progress) -> None:
        # A wish is heard when a chunk ends, and the next one is folded meanwhile: it is said
        # early enough that neither of the two can be the last.
        before.append(progress)
        with psycopg.connect(read_url) as connection:
            wish_for(connection, "users", "pause")

    with pytest.raises(Stopped):
        rebuild(read_url, door, [USERS], progress=pause_half_way, config=small)
    with psycopg.connect(read_url) as connection:
        paused = read_jobs(connection)["users"].percent
    after: list[Progress] = []
    rebuild(read_url, door, [USERS], progress=after.append, config=small)
    for told in (before, after):
        percents = [each.percent for each in told]
        assert percents == sorted(percents)
        for each in told:
            if each.eta_s is not None:
                left = max(0, each.upto - each.position)
                assert each.eta_s * each.events_per_s == pytest.approx(left)
        assert any(each.eta_s is not None for each in told)
    monkeypatch.setattr("projections.progress.SETTLED_S", 600.0)
    unsettled: list[Progress] = []
    rebuild(read_url, door, [USERS], progress=unsettled.append, config=small)
    assert {each.eta_s for each in unsettled} == {None}
    assert 0.0 < paused < 100.0
    assert after[0].percent == paused
    assert after[-1].percent == 100.0
