"""系统配置: read whole, changed in part; every change is judged before anything changes."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from api.configuration_shapes import KEYS, ConfigurationItem, ConfigurationRequest
from domain.system.configuration import Configuration
from tests.api.live import LiveApi, Person, ok, refused
from tests.journeys.farm import Server

PATH = "/api/admin/config"
SEED_BODY = {
    "max_concurrent_tasks_per_user": 5,
    "default_task_timeout": 3600,
    "maintenance_mode": False,
}
FREE = {"title": "x", "task_type": "test"}


@pytest.fixture
def boss(fresh_api: LiveApi) -> Iterator[Person]:
    with fresh_api.someone("admin") as person:
        yield person


def test_every_key_of_the_domain_is_published_once() -> None:
    assert tuple(KEYS.values()) == Configuration.__struct_fields__
    assert tuple(KEYS) == ConfigurationItem.__struct_fields__
    assert tuple(KEYS) == ConfigurationRequest.__struct_fields__


def test_the_configuration_is_read_and_changed(boss: Person) -> None:
    before = ok(boss.client.get(PATH))
    assert {name: before[name] for name in SEED_BODY} == SEED_BODY
    assert before["prices_per_minute"] == {"video_analysis": 1.05, "test": 0}
    assert ok(boss.client.put(PATH, json=SEED_BODY)) == before
    prices = {"video_analysis": "2.50", "test": 0}
    answer = boss.client.put(PATH, json={"prices_per_minute": prices, "requeue_budget": 0})
    after = ok(answer)
    assert after["prices_per_minute"] == {"video_analysis": 2.5, "test": 0}
    assert after["requeue_budget"] == 0
    assert ok(boss.client.get(PATH)) == after


def test_one_price_is_changed_and_the_others_stay(boss: Person) -> None:
    def changed(prices: dict[str, Any]) -> dict[str, float]:
        answer = ok(boss.client.put(PATH, json={"prices_per_minute": prices}))
        left: dict[str, float] = answer["prices_per_minute"]
        assert ok(boss.client.get(PATH))["prices_per_minute"] == left
        return left

    assert changed({"test": "0.30"}) == {"video_analysis": 1.05, "test": 0.3}
    assert changed({"encoding": 3}) == {"video_analysis": 1.05, "test": 0.3, "encoding": 3}
    assert changed({"test": None, "encoding": None}) == {"video_analysis": 1.05}
    refused(boss.client.post("/api/tasks", json=FREE), 422, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        (
            {"test": None, "video_analysis": None},
            [
                "至少保留一种任务类型的价格，否则无法提交任务",
                "Keep the price of one type of task",
            ],
        ),
        (
            {f"t{number}": 1 for number in range(63)},
            ["每分钟价格最多64项", "Each price per minute must have at most 64 items"],
        ),
    ],
)
def test_the_last_price_stays_and_there_are_not_too_many(
    admin: Person, prices: dict[str, Any], said: list[str]
) -> None:
    before = ok(admin.client.get(PATH))
    for others in ({}, {"requeue_budget": 99}):  # by the command, and beside another fault
        for language, sentence in zip(("zh", "en"), said, strict=True):
            answer = admin.client.put(
                PATH,
                json={"prices_per_minute": prices, **others},
                headers={"Accept-Language": language},
            )
            errors = refused(answer, 422, "VALIDATION_ERROR")["field_errors"]
            assert errors.keys() == {"prices_per_minute", *others}
            assert errors["prices_per_minute"][0].startswith(sentence)
    assert ok(admin.client.get(PATH)) == before


def test_each_change_is_an_event_with_before_and_after(
    fresh_api: LiveApi, boss: Person
) -> None:
    for _ in range(2):  # the second changes nothing, so there is nothing to record
        ok(boss.client.put(PATH, json={"default_task_timeout": 60}))
    facts = fresh_api.rows(
        "SELECT fact -> 'before', fact -> 'after', actor FROM owl_log.story"
        " WHERE tag = 'system.configuration_changed/1'"
    )
    assert facts == [
        (
            {"default_task_timeout_s": 3600},
            {"default_task_timeout_s": 60},
            f"admin:{boss.user_id}",
        )
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"nope": 1}, "nope"),
        ({"default_task_timeout_s": 60}, "default_task_timeout_s"),
        ({"max_concurrent_tasks_per_user": 0}, "max_concurrent_tasks_per_user"),
        ({"max_concurrent_tasks_per_user": 1_001}, "max_concurrent_tasks_per_user"),
        ({"default_task_timeout": 9}, "default_task_timeout"),
        ({"default_task_timeout": 86_401}, "default_task_timeout"),
        ({"default_task_timeout": 60.0}, "default_task_timeout"),
        ({"maintenance_mode": "yes"}, "maintenance_mode"),
        ({"prices_per_minute": {}}, "prices_per_minute"),
        ({"prices_per_minute": {"test": -1}}, "prices_per_minute"),
        ({"prices_per_minute": {"test": 1.005}}, "prices_per_minute"),
        ({"prices_per_minute": {"test": "NaN"}}, "prices_per_minute"),
        ({"prices_per_minute": {"Big One": 1}}, "prices_per_minute"),
        ({"prices_per_minute": {f"t{number}": 1 for number in range(65)}}, "prices_per_minute"),
        ({"suspect_after_seconds": 31}, "offline_after_seconds"),
        ({"heartbeat_interval_seconds": 15}, "suspect_after_seconds"),
    ],
)
def test_a_value_out_of_range_changes_nothing(
    admin: Person, body: dict[str, Any], field: str
) -> None:
    before = ok(admin.client.get(PATH))
    answer = admin.client.put(PATH, json=SEED_BODY | body if body else body)
    assert field in refused(answer, 422, "VALIDATION_ERROR")["field_errors"]
    assert ok(admin.client.get(PATH)) == before


def test_what_is_refused_is_said_in_both_languages(admin: Person) -> None:
    body = {"heartbeat_interval_seconds": 15}
    said = []
    for language in ("zh", "en"):
        answer = admin.client.put(PATH, json=body, headers={"Accept-Language": language})
        errors = refused(answer, 422, "VALIDATION_ERROR")["field_errors"]
        said += errors["suspect_after_seconds"]
    assert said == [
        "suspect_after_seconds必须大于 heartbeat_interval_seconds",
        "suspect_after_seconds must be longer than heartbeat_interval_seconds",
    ]


def test_maintenance_stops_users_writes_and_nothing_else(
    fresh_api: LiveApi, boss: Person
) -> None:
    with fresh_api.someone() as person:
        waiting = ok(person.client.post("/api/tasks", json=FREE))["id"]
        ok(boss.client.put(PATH, json={"maintenance_mode": True}))
        answer = person.client.post("/api/tasks", json=FREE)
        refused(answer, 503, "SERVER_UNAVAILABLE")
        assert int(answer.headers["retry-after"]) > 0
        ok(person.client.get("/api/tasks"))
        ok(person.client.post(f"/api/tasks/{waiting}/cancel"))
        ok(boss.client.post("/api/tasks", json=FREE))
        ok(boss.client.put(PATH, json={"maintenance_mode": False}))
        ok(person.client.post("/api/tasks", json=FREE))


def test_a_price_is_frozen_when_a_task_is_submitted(fresh_api: LiveApi, boss: Person) -> None:
    ok(boss.client.put(PATH, json={"prices_per_minute": {"test": 0.5}}))
    with fresh_api.someone() as person:
        body = {"balance": 100}
        ok(boss.client.put(f"/api/admin/users/{person.user_id}", json=body))
        task = UUID(ok(person.client.post("/api/tasks", json=FREE))["id"])
        ok(boss.client.put(PATH, json={"prices_per_minute": {"test": 2}}))
        shown = ok(person.client.get(f"/api/tasks/{task}"))
        assert (shown["price_per_minute"], shown["hold"]) == (0.5, 5)
        server = Server(fresh_api, boss)
        server.enrol()
        server.beat()
        server.take(task)
        server.end(task, "completed", run_ms=60_000)
        assert ok(person.client.get(f"/api/tasks/{task}"))["cost"] == 0.5
        assert person.balance() == 99.5
