"""Rows that other folds made: how many differ from this version's, and in which columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from api.verified_words import sentence, verdict
from projections.read_model import Fold, ReadModel, first
from projections.rebuild import rebuild
from projections.rebuilt import Hearing, Rebuilt
from projections.switching import drop_kept
from projections.tasks import TASKS
from projections.users import USERS
from projections.verified import LAST, last_comparisons
from projections.verifying import show_built, verify
from tests.projections.feed import ListFeed
from tests.projections.history import RandomFarm
from tests.projections.tables import naive, project
from tests.projections.test_verifying import door_to, execute


def version_of_tasks(folder: Path, table: str, version: str) -> ReadModel:
    """``tasks`` as a later version folds it: other titles; ``table`` is put in its DDL."""
    module = TASKS.ddl.with_suffix(".py").read_text(encoding="utf-8")
    (folder / "tasks.py").write_text(f"{module}\nVERSION = ('{version}',)\n")
    ddl = TASKS.ddl.read_text(encoding="utf-8")
    (folder / "tasks.sql").write_text(ddl + table)
    (tasks, *others) = TASKS.tables

    def titled(fold: Fold) -> Fold:
        def retitled(row: Any) -> Any:
            return None if row is None else replace(row, title=f"* {row.title}")

        if fold.make is None:
            return fold
        make = fold.make
        return first(fold.fact, lambda event: retitled(make(event)))

    folds = tuple(titled(fold) for fold in tasks.folds)
    retitling = replace(tasks, folds=folds)
    tallies = tuple(
        replace(each, of=retitling) if each.of == tasks else each for each in TASKS.tallies
    )
    return replace(
        TASKS, ddl=folder / "tasks.sql", tables=(retitling, *others), tallies=tallies
    )


def test_rows_by_other_folds_are_counted_and_their_columns_named_before_the_switch(
    read_url: str, tmp_path: Path
) -> None:
    story = RandomFarm(56).happen(150)
    feed = ListFeed(story[:120])
    project(read_url, feed.events)
    later = version_of_tasks(tmp_path, "", "v2")
    rebuild(read_url, door_to(feed), [later], progress=lambda _: None, switching="manual")
    feed.events = story
    project(read_url, story)  # the old version goes on and feeds the live rows
    found = verify(read_url, feed, later, limit=3)
    rows = len(naive(TASKS, story)["tasks"])
    assert found.contrast is not None
    assert (found.at_position, found.live_position) == (len(story), len(story))
    assert list(found.differing) == ["tasks"]
    (changed,) = (each for each in found.contrast.tables if each.differs)
    assert (changed.live_rows, changed.other_rows, changed.changed) == (rows, rows, rows)
    assert changed.columns == ("title",)
    assert len(found.differences) == 3
    for each in found.differences:
        assert each.columns == ("title",)
        assert each.live is not None
        assert each.other is not None
        assert each.other["title"] == f"* {each.live['title']}"
    told = f"tasks: {rows} of {rows} rows differ, columns: title"
    assert told in sentence(found)
    show_built(read_url, door_to(feed), later, unfed=True)


def test_columns_and_tables_that_other_folds_have_not_are_named_and_the_rest_compared(
    read_url: str, tmp_path: Path
) -> None:
    feed = ListFeed(RandomFarm(57).happen(120))
    project(read_url, feed.events)
    later = version_of_tasks(tmp_path, "", "v3")
    rebuild(read_url, door_to(feed), [later], progress=lambda _: None, switching="manual")
    execute(
        read_url,
        "ALTER TABLE rm_tasks_g1.tasks ADD COLUMN old_note text;"
        " ALTER TABLE rm_tasks_g2.tasks ADD COLUMN note text;"
        " CREATE TABLE rm_tasks_g2.more (x int);"
        " UPDATE rm_tasks_g2.tasks SET title = substr(title, 3);"
        " DELETE FROM rm_tasks_g2.tasks WHERE ctid = (SELECT min(ctid) FROM rm_tasks_g2.tasks)",
    )
    found = verify(read_url, feed, later, limit=5)
    told = sentence(found)
    expected = "tasks: rows gone: 1, columns new: note, columns gone: old_note"
    assert expected in told
    assert "new table more" in told
    assert [each.other for each in found.differences] == [None]
    assert "stand at position" not in told


def test_live_rows_that_no_program_feeds_are_compared_where_they_stand_and_it_is_said(
    read_url: str, tmp_path: Path
) -> None:
    story = RandomFarm(58).happen(120)
    feed = ListFeed(story)
    project(read_url, story[:90])
    execute(read_url, "UPDATE owl_read.checkpoints SET fingerprint = 'older'")
    rebuild(read_url, door_to(feed), [TASKS], progress=lambda _: None, switching="manual")
    found = verify(read_url, feed, TASKS)
    assert (found.live_position, found.at_position) == (90, len(story))
    assert "stand at position 90 and nothing feeds them" in sentence(found)


def test_rows_that_are_kept_by_other_folds_are_compared_where_they_stand(
    read_url: str, tmp_path: Path
) -> None:
    story = RandomFarm(59).happen(120)
    feed = ListFeed(story[:70])
    project(read_url, feed.events)
    later = version_of_tasks(tmp_path, "", "v4")
    (rebuilt,) = rebuild(read_url, door_to(feed), [later], progress=lambda _: None)
    rows = len(naive(TASKS, feed.events)["tasks"])
    # counted at the switch, against the rows as they were before it
    assert rebuilt.switched
    assert rebuilt.found is not None
    assert rebuilt.found.contrast is not None
    assert rebuilt.found.rows_that_differ == rows
    with psycopg.connect(read_url) as connection:
        kept = last_comparisons(connection.execute(LAST).fetchall())["tasks"].found
    assert kept == rebuilt.found
    found = verify(read_url, feed, later)
    assert (found.other_state, found.rows_that_differ) == ("kept", rows)
    sides = "tasks: generations 2 (live) and 1 (kept, other folds) at position 70: "
    assert sentence(found) == f"{sides}tasks: {rows} of {rows} rows differ, columns: title"
    feed.events = story
    project(read_url, story, [later])
    found = verify(read_url, feed, later)
    assert (found.live_position, found.other_position) == (len(story), 70)
    assert "the kept rows stand at position 70 and nothing feeds them" in sentence(found)
    assert "保留的一代停在位置 70" in verdict(found).zh


def test_too_many_rows_by_other_folds_are_not_counted_unasked(
    read_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = ListFeed(RandomFarm(60).happen(60))
    project(read_url, feed.events)
    execute(read_url, "ANALYZE rm_tasks_g1.tasks")
    monkeypatch.setattr("projections.before_switch.ROWS_MAX", 0)
    later = version_of_tasks(tmp_path, "", "v5")
    (rebuilt,) = rebuild(read_url, door_to(feed), [later], progress=lambda _: None)
    assert (rebuilt.switched, rebuilt.found) == (True, None)


def test_rows_that_are_dropped_before_they_were_counted_are_nothing_to_compare(
    read_url: str,
) -> None:
    feed = ListFeed(RandomFarm(61).happen(60))
    project(read_url, feed.events)
    execute(read_url, "UPDATE owl_read.checkpoints SET fingerprint = 'older'")

    def concluded(done: Rebuilt) -> None:
        if done.read_model == TASKS.name:
            drop_kept(read_url, TASKS)

    tasks, users = rebuild(
        read_url,
        door_to(feed),
        [TASKS, USERS],
        progress=lambda _: None,
        hearing=Hearing(concluded=concluded),
    )
    assert (tasks.switched, tasks.found) == (True, None)
    assert users.found is not None
    assert users.found.rows_that_differ == 0
