"""日志管理: what processes say, what people did, what happened to tasks; pages and files."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from api.log_download import cell
from tests.api.live import LiveApi, Person, ok, refused
from tests.journeys.farm import Server

FREE = {"title": "x", "task_type": "test"}
FILL = """
    INSERT INTO owl_log.system_log
        (logged_at, level, program, logger, event, request_id, message, fields)
    VALUES
        ('2024-01-14T23:59:59Z', 'ERROR', 'work', 'a', 'before', NULL, 'before', '{}'),
        ('2024-01-15T00:00:00Z', 'ERROR', 'work', 'a', 'first', 'request-1', '队列 100%_满',
            '{"n": 1}'),
        ('2024-01-15T12:00:00Z', 'WARNING', 'serve', 'b', 'second', NULL,
            E'=1+1\\nforged line', '{}'),
        ('2024-01-15T23:59:59.9Z', 'INFO', 'serve', 'b', 'third', NULL, 'third', '{}'),
        ('2024-01-16T00:00:00Z', 'INFO', 'serve', 'b', 'after', NULL, 'after', '{}');
    INSERT INTO owl_log.system_log_counts
    SELECT (logged_at AT TIME ZONE 'UTC')::date, level, count(*) FROM owl_log.system_log
    GROUP BY 1, 2
"""


@pytest.fixture(scope="module")
def filled(api: LiveApi) -> LiveApi:
    api.execute(FILL)
    return api


@pytest.fixture(scope="module")
def reader(filled: LiveApi) -> Iterator[httpx.Client]:
    with filled.someone("auditor") as person:
        yield person.client


def events(client: httpx.Client, query: str) -> list[str]:
    page = ok(client.get(f"/api/logs/system?{query}"))
    assert page["total"] == len(page["items"]) or "page" in query
    return [line["event"] for line in page["items"]]


def lines_of(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def test_the_system_log_is_filtered_by_level_days_and_text(reader: httpx.Client) -> None:
    days = "start_date=2024-01-15&end_date=2024-01-15"
    assert events(reader, days) == ["third", "second", "first"]
    assert events(reader, f"{days}&level=ERROR") == ["first"]
    assert events(reader, "end_date=2024-01-14") == ["before"]
    assert events(reader, f"{days}&search=队列") == ["first"]
    assert events(reader, f"{days}&search=100%25_满") == ["first"]
    assert events(reader, f"{days}&search=1%25%25") == []
    assert events(reader, f"{days}&page=2&page_size=2") == ["first"]
    (line,) = ok(reader.get(f"/api/logs/system?{days}&search=队列"))["items"]
    assert (line["timestamp"], line["level"], line["request_id"], line["fields"]) == (
        "2024-01-15T00:00:00Z",
        "ERROR",
        "request-1",
        {"n": 1},
    )


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("system?level=error", "level"),
        ("system?start_date=2024-02-30", "start_date"),
        ("system?start_date=2024-01-02&end_date=2024-01-01", "end_date"),
        ("system?end_date=9999-12-31", "end_date"),
        ("system?start_date=0001-01-01", "start_date"),
        ("system?search=" + "x" * 101, "search"),
        ("system?search=%00", "search"),
        ("system?page_size=201", "page_size"),
        ("user-actions?user_id=nobody", "user_id"),
        ("user-actions?end_date=9999-12-31", "end_date"),
        ("download", "log_type"),
        ("download?log_type=../../etc/passwd", "log_type"),
        ("download?log_type=%00", "log_type"),
        ("download?log_type=system&date=..%2f..", "date"),
        ("download?log_type=system&date=9999-12-31", "date"),
        ("download?log_type=system&date=2024-01-01&start_date=2024-01-01", "date"),
        ("download?log_type=system&start_date=2024-01-01&end_date=2024-04-02", "end_date"),
        ("download?log_type=system&user_id=00000000-0000-0000-0000-000000000001", "user_id"),
        ("download?log_type=tasks&search=x", "search"),
        ("download?log_type=tasks&format=exe", "format"),
    ],
)
def test_a_question_that_cannot_be_answered(
    reader: httpx.Client, path: str, field: str
) -> None:
    answer = reader.get(f"/api/logs/{path}")
    assert field in refused(answer, 422, "VALIDATION_ERROR")["field_errors"]


def test_a_day_of_the_system_log_is_a_file(reader: httpx.Client) -> None:
    answer = reader.get("/api/logs/download?log_type=system&date=2024-01-15")
    assert [line["event"] for line in lines_of(answer)] == ["first", "second", "third"]
    disposition = answer.headers["content-disposition"]
    assert disposition == 'attachment; filename="owl-system-2024-01-15.ndjson"'
    filtered = "/api/logs/download?log_type=system&date=2024-01-15&level=WARNING"
    assert [line["event"] for line in lines_of(reader.get(filtered))] == ["second"]
    empty = "/api/logs/download?log_type=system&date=2024-01-20"
    assert lines_of(reader.get(empty)) == []


def test_a_spreadsheet_runs_nothing_that_a_log_says(reader: httpx.Client) -> None:
    answer = reader.get("/api/logs/download?log_type=system&date=2024-01-15&format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row["event"] for row in rows] == ["first", "second", "third"]
    assert rows[0]["message"] == "队列 100%_满"
    assert rows[0]["fields"] == '{"n":1}'
    assert rows[1]["message"] == "'=1+1\\nforged line"
    empty = reader.get("/api/logs/download?log_type=tasks&date=2024-01-20&format=csv")
    assert empty.text.startswith("\ufefftimestamp,")


@pytest.mark.parametrize("text", ["=cmd", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_a_cell_is_never_a_formula(text: str) -> None:
    assert cell(text)[0] == "'"
    assert not set(cell(text)) & {"\r", "\n"}


def test_what_people_did_is_told_of_them_and_by_them(api: LiveApi, admin: Person) -> None:
    with api.someone() as person:
        task_id = ok(person.client.post("/api/tasks", json=FREE))["id"]
        path = f"/api/admin/users/{person.user_id}"
        ok(admin.client.put(path, json={"balance": 5, "reason": "gift"}))
        query = f"/api/logs/user-actions?user_id={person.user_id}&page=1&page_size=50"
        told = ok(admin.client.get(query))["items"]
        assert [line["action"] for line in told] == [
            "wallet.balance_adjusted/1",
            "tasks.task_submitted/2",
            "accounts.user_logged_in/1",
            "accounts.user_registered/1",
        ]
        adjusted, submitted, *_ = told
        assert adjusted["user_id"] == str(admin.user_id)
        assert adjusted["target_user_id"] == str(person.user_id)
        assert adjusted["message"] == "调整用户余额"
        assert submitted["user_id"] == str(person.user_id)
        assert submitted["target_user_id"] is None
        assert submitted["event_id"].startswith(task_id)
        assert all(line["position"] and line["request_id"] for line in told)
        assert person.email not in json.dumps(told)
        english = admin.client.get(query, headers={"Accept-Language": "en"})
        assert ok(english)["items"][0]["message"] == "Adjusted a user's balance"
        file = lines_of(
            admin.client.get(
                f"/api/logs/download?log_type=user_actions&user_id={person.user_id}"
            )
        )
        assert file == told[::-1]
    for path in ("user-actions?", "download?log_type=user_actions&"):
        answer = admin.client.get(f"/api/logs/{path}user_id={uuid4()}")
        refused(answer, 404, "RESOURCE_NOT_FOUND")


def test_what_happened_to_tasks_is_a_file(api: LiveApi, admin: Person) -> None:
    server = Server(api, admin, name="logs")
    server.enrol()
    server.beat()
    with api.someone() as one, api.someone() as other:
        ids = [ok(person.client.post("/api/tasks", json=FREE))["id"] for person in (one, other)]
    server.take(UUID(ids[0]))
    server.write(UUID(ids[0]), "written by the task")
    path = "/api/logs/download?log_type=tasks"
    today = lines_of(admin.client.get(path))
    told = [(line["task_id"], line["event"]) for line in today if line["task_id"] in ids]
    assert told.index((ids[0], "tasks.task_submitted/2")) < told.index(
        (ids[0], "tasks.task_started/1")
    )
    assert (ids[1], "tasks.task_submitted/2") in told
    positions = [line["position"] for line in today]
    assert positions == sorted(positions)

    def whole() -> list[Any]:
        return lines_of(admin.client.get(f"{path}&task_id={ids[0]}"))

    api.until(lambda: "output" in {line["source"] for line in whole()})
    assert {line["task_id"] for line in whole()} == {ids[0]}
    assert "written by the task" in {line["message"] for line in whole()}


def test_a_tasks_file_has_the_days_that_were_asked_for(
    api: LiveApi, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    with api.someone() as person:
        task_id = ok(person.client.post("/api/tasks", json=FREE))["id"]
        ok(person.client.post(f"/api/tasks/{task_id}/cancel"))
    file = f"/api/logs/download?log_type=tasks&task_id={task_id}"
    monkeypatch.setattr("api.log_download.LINES_AT_ONCE", 1)
    whole = admin.client.get(file)
    assert whole.headers["Content-Disposition"].endswith(f'"owl-tasks-{task_id}.ndjson"')
    assert len(lines_of(whole)) >= 2
    days = sorted({line["timestamp"][:10] for line in lines_of(whole)})
    spanned = admin.client.get(f"{file}&start_date={days[0]}&end_date={days[-1]}")
    assert lines_of(spanned) == lines_of(whole)
    for other in ("2020-01-01", "2100-12-31"):
        answer = admin.client.get(f"{file}&date={other}")
        named = f'attachment; filename="owl-tasks-{task_id}-{other}.ndjson"'
        assert (lines_of(answer), answer.headers["Content-Disposition"]) == ([], named)
    nothing = admin.client.get(f"/api/logs/download?log_type=tasks&task_id={uuid4()}")
    refused(nothing, 404, "RESOURCE_NOT_FOUND")


def test_a_deleted_tasks_log_is_read_by_auditors_and_nobody_else(
    api: LiveApi, admin: Person, reader: httpx.Client
) -> None:
    file = "/api/logs/download?log_type=tasks&task_id="
    with api.someone() as person:
        task_id = ok(person.client.post("/api/tasks", json=FREE))["id"]
        ok(person.client.delete(f"/api/tasks/{task_id}"))
        for client in (person.client, admin.client, reader):
            refused(client.get(f"/api/logs/tasks/{task_id}"), 404, "RESOURCE_NOT_FOUND")
        refused(person.client.get(f"{file}{task_id}"), 403, "ACCESS_DENIED")
        for client in (admin.client, reader):
            told = {line["event"] for line in lines_of(client.get(f"{file}{task_id}"))}
            assert {"tasks.task_submitted/2", "tasks.task_deleted/1"} <= told


def test_a_download_with_its_last_day_alone_goes_as_far_back_as_one_may(
    reader: httpx.Client,
) -> None:
    path = "/api/logs/download?log_type=system&end_date=2024-04-14"
    answer = reader.get(path)
    named = answer.headers["Content-Disposition"]
    assert named == 'attachment; filename="owl-system-2024-01-14-to-2024-04-14.ndjson"'
    listed = ok(reader.get("/api/logs/system?end_date=2024-04-14"))["items"]
    assert lines_of(answer) == listed[::-1] != []
    earliest = reader.get(path.replace("2024-04-14", "2000-01-02"))
    assert "2000-01-01-to-2000-01-02" in earliest.headers["Content-Disposition"]


def test_a_span_is_bounded_in_a_download_alone_and_the_refusal_says_so(
    reader: httpx.Client,
) -> None:
    years = "start_date=2020-01-01&end_date=2026-12-31"
    ok(reader.get(f"/api/logs/system?{years}"))
    ok(reader.get(f"/api/logs/user-actions?{years}"))
    answer = reader.get(f"/api/logs/download?log_type=system&{years}")
    (message,) = refused(answer, 422, "VALIDATION_ERROR")["field_errors"]["end_date"]
    assert "92" in message
    assert "分几次下载" in message
    inclusive = "start_date=2024-01-01&end_date=2024-04-01"
    lines_of(reader.get(f"/api/logs/download?log_type=system&{inclusive}"))


def test_a_file_longer_than_one_part_is_whole(
    api: LiveApi, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.log_download.LINES_AT_ONCE", 1)
    monkeypatch.setattr("projections.task_log_days.WINDOW", 3)
    for log_type in ("user_actions", "tasks"):
        lines = lines_of(admin.client.get(f"/api/logs/download?log_type={log_type}"))
        positions = [line["position"] for line in lines]
        assert len(positions) > 3
        assert positions == sorted(set(positions))


def test_logs_of_the_platform_are_for_operators_and_auditors(user: Person) -> None:
    for path in ("system", "user-actions", "download?log_type=system"):
        refused(user.client.get(f"/api/logs/{path}"), 403, "ACCESS_DENIED")
