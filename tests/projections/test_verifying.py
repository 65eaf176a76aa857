"""What waits or is kept is compared with the live rows, and every difference is named."""

from __future__ import annotations

from contextlib import suppress

import psycopg
import pytest
from psycopg import sql

from api.read_model_texts import why_not
from projections.beside import NothingBeside
from projections.catalogue import BUSINESS
from projections.exclusive import BeingRebuilt, sole
from projections.generations import open_building
from projections.jobs import SETTLED_S, Wish, note_begun, read_jobs, wish_for
from projections.pace import BuildingConfig
from projections.progress import Progress
from projections.rebuild import Log, NotRebuilt, rebuild
from projections.rebuilt import Hearing
from projections.status import read_statuses
from projections.switching import roll_back
from projections.tasks import TASKS
from projections.users import USERS
from projections.verifying import abandon, show_built, verify
from projections.wishes import Stopped
from tests.projections.feed import ListFeed, ListHistory
from tests.projections.history import RandomFarm
from tests.projections.tables import naive, project, stored

APPEND_LOCK = (42, 1)
SMALL = BuildingConfig(chunk_events=10, batch_events=20)


def door_to(feed: ListFeed) -> Log:
    return Log(feed=feed, history=ListHistory(feed), append_lock=APPEND_LOCK)


def execute(url: str, statement: str | sql.Composed) -> None:
    composed = statement if isinstance(statement, sql.Composed) else statement.encode()
    with psycopg.connect(url) as connection:
        connection.execute(composed)


def test_what_is_built_waits_for_the_operator_and_is_equal_at_any_later_position(
    read_url: str,
) -> None:
    story = RandomFarm(51).happen(150)
    feed = ListFeed(story[:120])
    project(read_url, feed.events)
    built = rebuild(
        read_url, door_to(feed), [TASKS, USERS], progress=lambda _: None, switching="manual"
    )
    assert [each.switched for each in built] == [False, False]
    feed.events = story
    project(read_url, feed.events)
    found = verify(read_url, feed, TASKS)
    assert (found.differing, found.at_position) == ({}, len(story))
    shown = show_built(read_url, door_to(feed), TASKS)
    assert (shown.before_generation, shown.after_generation) == (1, 2)
    assert stored(read_url, TASKS) == naive(TASKS, story)
    assert abandon(read_url, USERS)
    assert not abandon(read_url, USERS)
    with pytest.raises(NothingBeside, match="nothing_beside"):
        verify(read_url, feed, USERS)


def test_a_difference_found_by_a_rebuild_can_be_looked_at(read_url: str) -> None:
    feed = ListFeed(RandomFarm(53).happen(80))
    project(read_url, feed.events)
    execute(read_url, "UPDATE read.users SET full_name = 'somebody else'")
    with pytest.raises(NotRebuilt, match="rows differ"):
        rebuild(read_url, door_to(feed), [USERS], progress=lambda _: None)
    found = verify(read_url, feed, USERS, limit=100)
    assert {each.columns for each in found.differences} == {("full_name",)}
    assert len(found.differences) == len(naive(USERS, feed.events)["users"])


@pytest.mark.parametrize("wish", ["pause", "cancel"])
def test_an_operator_s_wish_is_obeyed_for_the_one_it_names_and_the_others_go_on(
    read_url: str, wish: Wish
) -> None:
    feed = ListFeed(RandomFarm(54).happen(150))
    project(read_url, feed.events)

    def meddle(_progress: Progress) -> None:
        with psycopg.connect(read_url) as connection:
            wish_for(connection, "users", wish)

    with pytest.raises(Stopped, match=f"{wish} users") as caught:
        rebuild(read_url, door_to(feed), [TASKS, USERS], progress=meddle, config=SMALL)
    assert caught.value.wishes == {"users": wish}
    (tasks,) = caught.value.done
    assert (tasks.read_model, tasks.switched, tasks.differing) == ("tasks", True, ())
    with psycopg.connect(read_url) as connection:
        jobs = read_jobs(connection)
    assert jobs["tasks"].step == "switched"
    assert jobs["users"].step == ("paused" if wish == "pause" else "cancelled")
    assert 0 <= jobs["users"].position < feed.head()
    began: list[int] = []
    hearing = Hearing(
        began=lambda opened, _: began.extend(each.generation.position for each in opened)
    )
    (users,) = rebuild(
        read_url, door_to(feed), [USERS], progress=lambda _: None, hearing=hearing, config=SMALL
    )
    assert (users.compared, users.differing) == (True, ())
    assert (began[0] > 0) == (wish == "pause")


def test_one_that_is_left_is_free_while_the_others_are_folded(
    read_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.progress.TELL_EVERY_S", 0.0)
    monkeypatch.setattr("projections.wishes.LOOK_EVERY_S", 0.0)
    feed = ListFeed(RandomFarm(54).happen(400))
    project(read_url, feed.events)
    resumed: list[bool] = []

    def meddle(progress: Progress) -> None:
        with psycopg.connect(read_url) as connection:
            wish_for(connection, "users", "pause")
            left = read_jobs(connection)["users"].step == "paused"
        if left and progress.stage == "folding" and not resumed:
            with suppress(BeingRebuilt), sole(read_url, [USERS]):
                resumed.append(True)

    with pytest.raises(Stopped, match="pause users"):
        rebuild(read_url, door_to(feed), [TASKS, USERS], progress=meddle, config=SMALL)
    assert resumed


def test_a_wish_that_comes_when_all_is_folded_is_obeyed_too(read_url: str) -> None:
    feed = ListFeed(RandomFarm(54).happen(60))
    project(read_url, feed.events)

    def meddle(progress: Progress) -> None:
        if progress.stage == "indexing":
            with psycopg.connect(read_url) as connection:
                for name in ("users", "tasks"):
                    assert wish_for(connection, name, "cancel")

    with pytest.raises(Stopped) as caught:
        rebuild(read_url, door_to(feed), [TASKS, USERS], progress=meddle, config=SMALL)
    assert caught.value.wishes == {"users": "cancel", "tasks": "cancel"}
    assert caught.value.done == []
    with psycopg.connect(read_url) as connection:
        steps = {name: job.step for name, job in read_jobs(connection).items()}
    assert steps == {"users": "cancelled", "tasks": "cancelled"}


def test_of_a_rebuild_whose_process_has_died_nothing_can_be_wished(read_url: str) -> None:
    project(read_url, [])
    opened = open_building(read_url, [USERS])["users"]
    with psycopg.connect(read_url) as connection:
        note_begun(connection, opened.generation, upto=9, switching="auto", max_load=1.0)
    with psycopg.connect(read_url) as connection:
        assert read_jobs(connection)["users"].interrupted
        assert not wish_for(connection, "users", "pause")
        with sole(read_url, [USERS]):
            assert wish_for(connection, "users", "pause")


def test_how_long_it_takes_is_told_at_its_pace_and_not_before_there_is_one(
    read_url: str,
) -> None:
    project(read_url, [])
    opened = open_building(read_url, [USERS])["users"]
    opened.generation.position = 100
    with sole(read_url, [USERS]), psycopg.connect(read_url, autocommit=True) as connection:
        note_begun(connection, opened.generation, upto=2_100, switching="auto", max_load=1.0)

        def told(after_s: float) -> float | None:
            connection.execute(
                "UPDATE owl_read.checkpoints SET position = 600 WHERE state = 'building'"
            )
            connection.execute(
                "UPDATE owl_read.rebuilds"
                " SET updated_at = began_at + make_interval(secs => %s)",
                [after_s],
            )
            statuses = read_statuses(read_url, {"business": 2_100, "telemetry": 0})
            (job,) = {each.job for each in statuses if each.read_model == "users"}
            assert job is not None
            return job.eta_s

        assert told(SETTLED_S - 0.1) is None
        assert told(5.0) == pytest.approx(1_500 / 100)


def test_the_estimate_of_progress_only_grows_and_ends_at_a_hundred(read_url: str) -> None:
    feed = ListFeed(RandomFarm(55).happen(150))
    told: list[Progress] = []
    rebuild(read_url, door_to(feed), BUSINESS, progress=told.append, config=SMALL)
    percents = [each.percent for each in told]
    assert percents == sorted(percents)
    assert percents[-1] == 100.0


def test_why_there_is_nothing_to_show_says_what_there_is(read_url: str) -> None:
    feed = ListFeed(RandomFarm(61).happen(60))
    project(read_url, feed.events)
    log = door_to(feed)

    def why() -> tuple[str, dict[str, int]]:
        with pytest.raises(NothingBeside) as caught:
            show_built(read_url, log, USERS)
        assert "users" in why_not(caught.value).en
        return caught.value.why, caught.value.about

    assert why() == ("nothing_built", {"live": 1})
    rebuild(read_url, log, [USERS], progress=lambda _: None)
    assert why() == ("shown_already", {"live": 2, "kept": 1})
    roll_back(read_url, USERS, append_lock=APPEND_LOCK)
    assert why() == ("shown_already", {"live": 1, "kept": 2})
    rebuild(read_url, log, [USERS], progress=lambda _: None, switching="manual")
    execute(read_url, "UPDATE owl_read.rebuilds SET step = 'paused'")
    assert why() == ("not_built_to_its_end", {"other": 3, "percent": 100})
    execute(
        read_url,
        "UPDATE owl_read.checkpoints SET fingerprint = 'newer' WHERE state = 'building'",
    )
    assert why() == ("built_by_other_folds", {"other": 3})
