"""What a task's log shows is what the event log has, as far as the read model has come."""

from __future__ import annotations

from typing import get_args

import psycopg

from domain.catalogue import personal_fields, private_fields
from domain.tasks.events import TaskFact, TaskProgressed
from projections import task_logs
from projections.task_event_lines import LEFT_OUT
from projections.task_events import LEVELS, OWN
from tests.projections.asking import Ask
from tests.projections.farm import Farm
from tests.projections.tables import write_log


def test_a_line_says_all_that_its_fact_says_defaults_and_backslashes_too(
    farm: Farm, ask: Ask
) -> None:
    """As the fact would be written if nothing were left out, keys in the order of jsonb."""
    note = "\\u0000 is written, \0 is meant, \\\0"
    task = farm.submit(farm.users[0])
    farm.assign(task, farm.servers[0])
    farm.begin(task, farm.servers[0])
    stream = [event for event in farm.events if event.stream == task]
    facts = (
        TaskProgressed(task_id=task, attempt=1, progress=40.0, note=note),
        TaskProgressed(task_id=task, attempt=1, progress=41.5),
    )
    farm.say(task, *facts)
    lines = ask(task_logs.log_page, task, page=1, page_size=50).items
    assert [line.data for line in lines[-2:]] == [
        {"note": "\\u0000 is written, \ufffd is meant, \\\ufffd", "progress": 40.0},
        {"note": "", "progress": 41.5},
    ]
    submitted = next(line for line in lines if line.tag == "tasks.task_submitted/2")
    assert list(submitted.data) == [
        "hold_fen",
        "priority",
        "task_type",
        "timeout_s",
        "price_fen_per_minute",
        "estimated_duration_min",
    ]
    assert len(lines) == len(stream) + 3, "two more of its own, and the hold of its owner"


def test_a_line_that_the_read_model_has_not_passed_is_not_shown(farm: Farm, ask: Ask) -> None:
    task = farm.submit(farm.users[0])
    seen = ask(task_logs.log_page, task, page=1, page_size=50)
    farm.assign(task, farm.servers[0])
    write_log(ask.url, farm.events)
    late = Ask(ask.url, lambda: None)
    assert late(task_logs.log_page, task, page=1, page_size=50) == seen
    assert ask(task_logs.log_page, task, page=1, page_size=50).total == seen.total + 1


def test_a_task_has_its_log_while_rows_of_an_earlier_version_serve(
    farm: Farm, ask: Ask
) -> None:
    """Which noted the events of the task's own stream as well, and all that they said."""
    task = farm.submit(farm.users[0])
    farm.complete(task)
    log = ask(task_logs.log_page, task, page=1, page_size=50)
    with psycopg.connect(ask.url) as connection:
        connection.execute(
            "CREATE TABLE before AS"
            " SELECT notification_id AS position, %(task)s::uuid AS task_id,"
            " originator_id AS stream, originator_version AS version, topic AS tag,"
            " 'INFO' AS level, 1::bigint AS attempt, actor, recorded_at, '{}'::jsonb AS data"
            " FROM owl_log.events WHERE originator_id = %(task)s"
            " OR notification_id IN (SELECT position FROM read.task_events)",
            {"task": task},
        )
        connection.execute("DROP VIEW read.task_events")
        connection.execute("CREATE VIEW read.task_events AS SELECT * FROM before")
    late = Ask(ask.url, lambda: None)
    assert late(task_logs.log_page, task, page=1, page_size=50) == log
    after = late(task_logs.log_after, task, log.items[0].cursor, limit=50)
    assert after == log.items[1:]


def test_no_event_of_a_tasks_log_has_anything_personal_and_each_names_its_task() -> None:
    """So that what is stored can be shown as it is, whoever is erased."""
    for fact in LEVELS:
        assert not personal_fields(fact)
        assert LEFT_OUT.issuperset(private_fields(fact))
        assert "task_id" in fact.__struct_fields__
    assert set(OWN) == set(get_args(TaskFact)), "found by the task's own stream"
