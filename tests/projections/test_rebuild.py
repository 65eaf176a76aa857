"""A rebuild: nobody sees it until it is whole, and it never hides a difference."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from msgspec.structs import replace

from domain import money
from domain.tasks.events import TaskStarted
from projections import fingerprint as prints
from projections.catalogue import BUSINESS, READ_MODELS
from projections.fingerprint import fingerprint, fingerprint_of_files
from projections.pace import BuildingConfig
from projections.progress import Progress
from projections.read_model import ReadModel
from projections.rebuild import Log, NotRebuilt, rebuild
from projections.rebuilt import Rebuilt
from projections.runner import Runner, RunnerConfig
from projections.status import read_statuses
from projections.tasks import TASKS
from projections.users import USERS
from tests.projections.feed import NOON, ListFeed, ListHistory
from tests.projections.history import RandomFarm
from tests.projections.tables import finish, naive, project, stored

APPEND_LOCK = (42, 1)
SMALL = BuildingConfig(batch_events=20, chunk_events=30, rows_kept=10)


def run_rebuild(
    url: str,
    feed: ListFeed,
    model: ReadModel,
    progress: Callable[[Progress], None] = lambda _: None,
    *,
    switch_if_different: bool = False,
) -> Rebuilt:
    log = Log(feed=feed, history=ListHistory(feed), append_lock=APPEND_LOCK)
    (rebuilt,) = rebuild(
        url,
        log,
        [model],
        progress=progress,
        switch_if_different=switch_if_different,
        config=SMALL,
    )
    return rebuilt


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())


def generations(url: str, model: ReadModel) -> dict[int, str]:
    heads = {"business": 0, "telemetry": 0}
    return {
        each.generation: each.state
        for each in read_statuses(url, heads)  # type: ignore[arg-type]
        if each.read_model == model.name
    }


def schemas(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'rm\\_tasks\\_g%'"
        ).fetchall()
    return {name for (name,) in rows}


def test_queries_move_to_the_new_generation_and_the_one_before_is_kept(read_url: str) -> None:
    feed = ListFeed(RandomFarm(11).happen(120))
    project(read_url, feed.events)
    steps: list[Progress] = []
    first = run_rebuild(read_url, feed, TASKS, steps.append)
    assert (first.before_generation, first.after_generation) == (1, 2)
    assert first.at_position == feed.head()
    assert generations(read_url, TASKS) == {1: "kept", 2: "live"}
    assert stored(read_url, TASKS) == naive(TASKS, feed.events)
    second = run_rebuild(read_url, feed, TASKS)
    assert second.checksum == first.checksum
    assert generations(read_url, TASKS) == {2: "kept", 3: "live"}
    assert schemas(read_url) == {"rm_tasks_g2", "rm_tasks_g3"}
    assert steps[-1].stage == "done"
    assert steps[-1].percent == 100.0
    folded = [step.position for step in steps if step.stage == "folding"]
    assert folded == sorted(folded)


def test_a_row_that_was_tampered_with_is_found_and_the_live_rows_stay(read_url: str) -> None:
    feed = ListFeed(RandomFarm(12).happen(60))
    project(read_url, feed.events)
    execute(read_url, "UPDATE read.users SET full_name = 'somebody else'")
    with pytest.raises(NotRebuilt, match="users"):
        run_rebuild(read_url, feed, USERS)
    assert generations(read_url, USERS) == {1: "live", 2: "building"}
    forced = run_rebuild(read_url, feed, USERS, switch_if_different=True)
    assert forced.differing == ("users",)
    assert stored(read_url, USERS) == naive(USERS, feed.events)


def test_a_rebuild_heals_a_read_model_that_had_stopped(read_url: str) -> None:
    feed = ListFeed(RandomFarm(13).happen(60))
    project(read_url, feed.events[:20])
    execute(
        read_url,
        "UPDATE owl_read.checkpoints SET stopped_at = 21, error = 'a bug, mended since'"
        " WHERE read_model = 'tasks'",
    )
    rebuilt = run_rebuild(read_url, feed, TASKS)
    assert not rebuilt.compared
    assert rebuilt.at_position == feed.head()
    assert stored(read_url, TASKS) == naive(TASKS, feed.events)


def test_a_generation_of_other_folds_is_replaced(read_url: str) -> None:
    feed = ListFeed(RandomFarm(14).happen(40))
    execute(read_url, "UPDATE owl_read.checkpoints SET fingerprint = 'older'")
    rebuilt = run_rebuild(read_url, feed, TASKS)
    assert not rebuilt.compared
    assert stored(read_url, TASKS) == naive(TASKS, feed.events)


def test_a_poison_event_fails_the_rebuild_and_leaves_no_trace(read_url: str) -> None:
    feed = ListFeed(RandomFarm(15).happen(30))
    nowhere = UUID(int=404)
    feed.append(
        nowhere, TaskStarted(task_id=nowhere, attempt=1, server_id=nowhere, started_at=NOON)
    )
    execute(read_url, "UPDATE owl_read.checkpoints SET fingerprint = 'older'")
    with pytest.raises(NotRebuilt, match=f"position {feed.head()} cannot be folded"):
        run_rebuild(read_url, feed, TASKS)
    assert generations(read_url, TASKS) == {1: "live"}
    assert schemas(read_url) == {"rm_tasks_g1"}


def test_two_rebuilds_of_one_read_model_do_not_mix(read_url: str) -> None:
    feed = ListFeed(RandomFarm(16).happen(30))
    project(read_url, feed.events)

    def again(progress: Progress) -> None:
        if progress.stage == "indexing":
            with pytest.raises(NotRebuilt, match="rebuilt already"):
                run_rebuild(read_url, feed, TASKS)

    assert run_rebuild(read_url, feed, TASKS, again).after_generation == 2


def test_events_that_come_during_a_rebuild_are_in_both_generations_and_none_is_lost(
    read_url: str,
) -> None:
    story = RandomFarm(17).happen(400)
    feed = ListFeed(story[:100])
    runner = Runner(
        feed, read_url, BUSINESS, projected=None, config=RunnerConfig(batch_events=9)
    )
    finish(runner)
    done = threading.Event()

    def live() -> None:
        """Appends as the log does, under the append lock, and projects meanwhile."""
        with psycopg.connect(read_url) as connection:
            while len(feed.events) < len(story) or not done.is_set():
                if len(feed.events) < len(story):
                    connection.execute(f"SELECT pg_advisory_xact_lock{APPEND_LOCK}".encode())
                    feed.events.append(story[len(feed.events)])
                    connection.commit()
                runner.step()

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    try:
        for _ in range(3):
            rebuilt = run_rebuild(read_url, feed, TASKS)
            assert rebuilt.differing == ()
    finally:
        done.set()
        thread.join(120)
    assert not thread.is_alive(), "one runner in two threads"
    assert len(feed.events) == len(story), "whoever appends gave up"
    finish(runner)
    runner.close()
    assert stored(read_url, TASKS) == naive(TASKS, story)
    with psycopg.connect(read_url) as connection:
        positions = connection.execute(
            "SELECT DISTINCT position FROM owl_read.checkpoints WHERE source = 'business'"
        ).fetchall()
    assert positions == [(len(story),)], "the kept generation is fed as well"


def test_status_tells_what_lags_what_stands_and_why(read_url: str) -> None:
    feed = ListFeed(RandomFarm(18).happen(30))
    project(read_url, feed.events)
    execute(
        read_url,
        "UPDATE owl_read.checkpoints SET stopped_at = 9, error = 'why'"
        " WHERE read_model = 'users'",
    )
    heads = {"business": feed.head() + 5, "telemetry": 0}
    statuses = {each.read_model: each for each in read_statuses(read_url, heads)}  # type: ignore[arg-type]
    assert statuses.keys() == {model.name for model in READ_MODELS}
    assert statuses["tasks"].condition == "following"
    assert statuses["tasks"].lag_events == 5
    assert statuses["tasks"].size_bytes > 0
    counted = sum(map(len, stored(read_url, TASKS).values()))
    assert (statuses["tasks"].rows, statuses["tasks"].rows_are_exact) == (counted, True)
    assert (statuses["users"].condition, statuses["users"].error) == ("stopped", "why")


def test_equal_generations_have_as_many_rows(read_url: str) -> None:
    feed = ListFeed(RandomFarm(19).happen(300))
    project(read_url, feed.events, batch_events=10)
    with psycopg.connect(read_url) as connection:
        empty = connection.execute("SELECT count(*) FROM read.task_counts WHERE n = 0")
        assert empty.fetchall() != [(0,)], "there is a group that nothing is in any more"
    door = Log(feed=feed, history=ListHistory(feed), append_lock=APPEND_LOCK)
    rebuild(read_url, door, [TASKS], progress=lambda _: None)
    heads = {"business": feed.head(), "telemetry": 0}
    found = [each for each in read_statuses(read_url, heads) if each.read_model == "tasks"]  # type: ignore[arg-type]
    assert [each.state for each in found] == ["kept", "live"]
    assert len({(each.rows, each.rows_are_exact) for each in found}) == 1


def test_a_fingerprint_changes_with_folds_and_tables_and_not_with_queries(
    tmp_path: Path,
) -> None:
    source, ddl = USERS.ddl.with_suffix(".py"), USERS.ddl
    copy = replace(USERS, ddl=tmp_path / "users.sql")

    def printed(python: str, tables: str) -> str:
        copy.ddl.with_suffix(".py").write_text(python, encoding="utf-8")
        copy.ddl.write_text(tables, encoding="utf-8")
        return fingerprint_of_files(copy)

    python, tables = source.read_text(encoding="utf-8"), ddl.read_text(encoding="utf-8")
    same = fingerprint(USERS)
    assert printed(python, tables) == same
    assert printed(python.replace("WHERE user_id", "WHERE  user_id"), tables) == same
    assert printed(python + "\nasync def another_query() -> None: ...\n", tables) == same
    assert printed(python.replace("total_tasks + 1", "total_tasks + 2"), tables) != same
    assert printed(python, tables.replace("bigint", "numeric")) != same


def test_a_fingerprint_changes_with_what_the_folds_call_in_the_domain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = fingerprint_of_files(TASKS)
    source = Path(money.__file__).read_text(encoding="utf-8")
    changed = tmp_path / "money.py"

    def printed(text: str) -> str:
        changed.write_text(text, encoding="utf-8")
        prints._module.cache_clear()
        return fingerprint_of_files(TASKS)

    def there(name: str) -> ModuleSpec | None:
        spec = find_spec(name)
        if spec is not None and name == "domain.money":
            spec.origin = str(changed)
        return spec

    monkeypatch.setattr(prints, "find_spec", there)
    try:
        assert printed(source) == same
        assert printed(f"{source}\n\ndef elsewhere() -> None: ...\n") == same
        assert printed(source.replace("= 60_000", "= 60")) != same
    finally:
        prints._module.cache_clear()


def test_what_is_deployed_under_a_running_program_is_not_yet_its_own(tmp_path: Path) -> None:
    copy = replace(USERS, ddl=tmp_path / "users.sql")
    source = USERS.ddl.with_suffix(".py").read_text(encoding="utf-8")
    copy.ddl.write_text(USERS.ddl.read_text(encoding="utf-8"), encoding="utf-8")
    copy.ddl.with_suffix(".py").write_text(source, encoding="utf-8")
    running = fingerprint(copy)
    other = source.replace("total_tasks + 1", "total_tasks + 2")
    copy.ddl.with_suffix(".py").write_text(other, encoding="utf-8")
    assert fingerprint(copy) == running
    assert fingerprint_of_files(copy) != running
