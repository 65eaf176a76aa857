"""An event that cannot be folded, or not even read, stops what is about it and nothing else."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest

from commands.event_log.batch import APPEND_LOCK
from commands.event_log.log import EventLog
from domain.ports import Undecodable
from domain.tasks.events import TaskStarted
from projections.catalogue import BUSINESS
from projections.rebuild import Log, NotRebuilt, rebuild
from projections.runner import Runner
from projections.status import ReadModelStatus, read_statuses
from projections.tasks import TASKS
from projections.users import USERS
from projections.verifying import resume
from tests.audit.stories import insert, played
from tests.commands.accounting import SECRETS
from tests.projections.feed import NOON, ListFeed, ListHistory
from tests.projections.history import RandomFarm
from tests.projections.tables import finish, naive, stored

SPOILT = """
    INSERT INTO owl_log.events (notification_id, originator_id, originator_version, topic,
        state, recorded_at, actor, command_id, correlation_id)
    SELECT max(notification_id) + 1, %(stream)s, 1, %(tag)s, %(state)s, now(), 'system:test',
        %(stream)s, 'test'
    FROM owl_log.events
"""
NOWHERE = UUID(int=404)


def spoil(url: str, tag: str, state: bytes = b'{"type":') -> None:
    with psycopg.connect(url) as connection:
        connection.execute(SPOILT, {"stream": NOWHERE, "tag": tag, "state": state})


def follow(url: str, log: EventLog) -> dict[str, ReadModelStatus]:
    runner = Runner(log.feed(), url, BUSINESS, projected=None)
    finish(runner)
    runner.close()
    heads = {"business": log.feed().head(), "telemetry": 0}
    return {each.read_model: each for each in read_statuses(url, heads)}  # type: ignore[arg-type]


def test_an_unreadable_event_stops_the_read_models_about_it_and_the_others_go_on(
    read_url: str,
) -> None:
    story = played(61, 200).stored()
    with psycopg.connect(read_url) as connection:
        insert(connection, story)
    spoil(read_url, "tasks.task_started/1")
    bad = len(story) + 1
    with EventLog.open(read_url, secrets=SECRETS, require_durable=False) as log:
        statuses = follow(read_url, log)
        about = {name for name, each in statuses.items() if each.stopped_at == bad}
        assert about == {model.name for model in BUSINESS if TaskStarted in model.facts}
        error = statuses["tasks"].error or ""
        assert f"position {bad} cannot be read" in error
        assert f"event {NOWHERE}/1, tasks.task_started/1" in error
        assert statuses["users"].position == bad
        with pytest.raises(Undecodable):
            log.feed().read(bad - 1, 10)
        door = Log(feed=log.feed(), history=log.history(), append_lock=APPEND_LOCK)
        with pytest.raises(NotRebuilt, match=f"tasks: position {bad}") as failure:
            rebuild(read_url, door, [TASKS, USERS], progress=lambda _: None)
        assert list(failure.value.reasons) == ["tasks"]
        assert [each.read_model for each in failure.value.done] == ["users"]


def test_a_tag_that_nobody_knows_stops_all_until_a_version_that_does(read_url: str) -> None:
    story = played(62, 60).stored()
    with psycopg.connect(read_url) as connection:
        insert(connection, story)
    spoil(read_url, "tasks.task_dreamt/1", b'{"type":"tasks.task_dreamt/1"}')
    with EventLog.open(read_url, secrets=SECRETS, require_durable=False) as log:
        statuses = follow(read_url, log)
        assert {each.stopped_at for each in statuses.values() if each.source == "business"} == {
            len(story) + 1
        }
        with psycopg.connect(read_url) as connection:
            connection.execute("ALTER TABLE owl_log.events DISABLE TRIGGER append_only")
            connection.execute(
                "DELETE FROM owl_log.events WHERE notification_id = %s", [len(story) + 1]
            )
            assert resume(connection, "users") == len(story) + 1
        statuses = follow(read_url, log)
        assert statuses["users"].condition == "following"
        assert statuses["tasks"].condition == "stopped"


def test_a_poison_event_fails_its_read_model_and_the_others_of_the_rebuild_are_done(
    read_url: str,
) -> None:
    feed = ListFeed(RandomFarm(63).happen(60))
    story = list(feed.events)
    feed.append(
        NOWHERE, TaskStarted(task_id=NOWHERE, attempt=1, server_id=NOWHERE, started_at=NOON)
    )
    feed.events += [each for each in RandomFarm(63).happen(90) if each.position > feed.head()]
    with psycopg.connect(read_url) as connection:
        connection.execute("UPDATE owl_read.checkpoints SET fingerprint = 'older'")
    door = Log(feed=feed, history=ListHistory(feed), append_lock=(42, 1))
    with pytest.raises(NotRebuilt) as failure:
        rebuild(read_url, door, [TASKS, USERS], progress=lambda _: None)
    assert list(failure.value.reasons) == ["tasks"]
    reason = failure.value.reasons["tasks"]
    assert f"position {len(story) + 1} cannot be folded: tasks.tasks fails at" in reason
    assert f"tasks.task_started/1, event {NOWHERE}/" in reason
    assert stored(read_url, USERS) == naive(USERS, feed.events)
