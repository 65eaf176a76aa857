"""The oldest PostgreSQL that is supported keeps the same rows and answers the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from projections.catalogue import BUSINESS, TELEMETRY
from projections.gpu_cluster import cluster_overview, server_now, servers
from projections.migrate import prepare
from projections.recharge_codes import code_page
from projections.recharge_records import record_page
from projections.system_stats import system_statistics
from projections.task_lists import TaskFilter, task_by_id, task_page
from projections.task_logs import log_page
from projections.user_action_pages import user_action_page
from projections.user_lists import user_page
from projections.users import users_by_id
from tests.projections.asking import Ask
from tests.projections.history import RandomFarm, telemetry
from tests.projections.tables import naive, project, stored, write_log

STEPS = 400
PAGE: dict[str, Any] = {"page": 1, "page_size": 50}


def answers(ask: Ask, farm: RandomFarm) -> dict[str, Any]:
    """Every query once, by its name."""
    user, task, now = farm.users[0], farm.tasks[0], {"now": farm.now}
    asked: list[tuple[Callable[..., Awaitable[Any]], tuple[Any, ...], dict[str, Any]]] = [
        (servers, (), now),
        (server_now, (farm.servers[0],), {"user_id": user} | now),
        (cluster_overview, (), now),
        (system_statistics, (), now),
        (task_page, (TaskFilter(user_id=None, **PAGE),), {}),
        (task_by_id, (task,), {"user_id": None}),
        (log_page, (task,), PAGE),
        (code_page, (), {"status": "active", "now": farm.now, **PAGE}),
        (record_page, (user,), PAGE),
        (user_page, (), PAGE),
        (users_by_id, (farm.users,), {}),
        (user_action_page, (), PAGE),
    ]
    return {query.__name__: ask(query, *about, **named) for query, about, named in asked}


def projected(url: str, farm: RandomFarm) -> Ask:
    prepare(url)
    write_log(url, farm.events)
    project(url, farm.events, BUSINESS, batch_events=50)
    project(url, telemetry(15, STEPS), TELEMETRY)
    return Ask(url, lambda: None)


def test_every_row_and_every_answer_is_that_of_the_newest(
    postgres15: str, database_url: str
) -> None:
    farm = RandomFarm(15)
    events = farm.happen(STEPS)
    oldest, newest = projected(postgres15, farm), projected(database_url, farm)
    for model in BUSINESS:
        assert stored(postgres15, model) == naive(model, events)
    for model in TELEMETRY:
        assert stored(postgres15, model) == stored(database_url, model) != {}
    found = answers(oldest, farm)
    assert found["task_page"].total
    assert found["user_action_page"].total
    assert found == answers(newest, farm)
