"""What a monitoring system sees: counts by route, the writer, the read models, the queue."""

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from api.metrics import Metrics
from commands.counts import WriterCounts
from tests.api.live import LiveApi, Person, ok
from tests.audit.conftest import sign_all

FREE = {"title": "x", "task_type": "test"}


def scraped(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(api: LiveApi, name: str, **labels: str) -> float:
    with api.client() as client:
        answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return scraped(answer.text).get((name, frozenset(labels.items())), 0.0)


def test_requests_are_counted_by_route_and_status(api: LiveApi, user: Person) -> None:
    task_id = ok(user.client.post("/api/tasks", json=FREE))["id"]
    labels = {"method": "GET", "route": "/api/tasks/{task_id}"}
    before = value(api, "owl_http_requests_total", status="200", **labels)
    for _ in range(3):
        ok(user.client.get(f"/api/tasks/{task_id}"))
    assert value(api, "owl_http_requests_total", status="200", **labels) == before + 3
    assert value(api, "owl_http_request_seconds_count", **labels) >= 3
    with api.client() as client:
        for number in range(3):
            client.get(f"/nothing/{number}")
            client.request("BREW", "/api/tasks")
        text = client.get("/metrics").text
    assert "nothing" not in text
    assert "BREW" not in text
    assert task_id not in text
    assert value(api, "owl_http_requests_total", method="GET", route="-", status="404") >= 3


def test_the_writer_the_read_models_and_the_queue_are_told(api: LiveApi, user: Person) -> None:
    before = {name: value(api, f"owl_writer_{name}_total") for name in ("rounds", "facts")}
    waiting = value(api, "owl_queue_length")
    ok(user.client.post("/api/tasks", json=FREE))
    assert value(api, "owl_writer_rounds_total") > before["rounds"]
    assert value(api, "owl_writer_facts_total") > before["facts"]
    assert value(api, "owl_queue_length") == waiting + 1
    assert value(api, "owl_database_up") == 1
    api.until(lambda: value(api, "owl_read_model_lag") == 0)
    assert value(api, "process_resident_memory_bytes") > 0


def test_what_the_notary_has_yet_to_sign_is_told(api: LiveApi, user: Person) -> None:
    ok(user.client.post("/api/tasks", json=FREE))
    assert value(api, "owl_unsigned_events") > 0
    asyncio.run(sign_all(api.database_url, events_max=4096))
    assert value(api, "owl_unsigned_events") == 0


def test_without_a_database_the_rest_is_still_told() -> None:
    told = scraped(Metrics(WriterCounts(rounds=7)).text(None).decode())
    assert told["owl_database_up", frozenset()] == 0
    assert told["owl_writer_rounds_total", frozenset()] == 7
    assert ("owl_queue_length", frozenset()) not in told
