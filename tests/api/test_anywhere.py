"""Bad bodies and queries at any endpoint: each row is refused in words, never with a 500."""

import json
from ipaddress import ip_network
from typing import Any

import pytest

from tests.api.live import LiveApi, Person, field_errors, ok, refused

MINIMAL = {"title": "测试任务", "task_type": "test", "description": "这是一个测试任务"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"title":"a","task_type":"test"}x',
        b'\xef\xbb\xbf{"title":"a","task_type":"test"}',
        b'{"title":"\xff","task_type":"test"}',
        b'{"title":NaN,"task_type":"test"}',
        b'{"title":"a","task_type":"test","priority":1e400}',
        b'{"title":"a\\ud800","task_type":"test"}',
        b'{"title":"a\\u0000","task_type":"test"}',
        b'{"title":"a","task_type":"test","config":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"title":"a","task_type":"test","priority":' + b"9" * 5_000 + b"}",
        b'{"title":"a","title":"b","task_type":"test"}',
        b"[]",
        b"null",
        b'"text"',
        b"1",
    ],
)
def test_a_body_that_is_not_one(user: Person, body: bytes) -> None:
    field_errors(
        user.client.post(
            "/api/tasks", content=body, headers={"Content-Type": "application/json"}
        )
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": None}, "title"),
        ({"title": ""}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": 1}, "title"),
        ({"title": "a\x07"}, "title"),
        ({"title": "a\u202eb"}, "title"),
        ({"description": "x" * 2001}, "description"),
        ({"task_type": "mining"}, "task_type"),
        ({"task_type": "Video Analysis"}, "task_type"),
        ({"task_type": None}, "task_type"),
        ({"priority": 0}, "priority"),
        ({"priority": 6}, "priority"),
        ({"priority": 1.0}, "priority"),
        ({"priority": "1"}, "priority"),
        ({"priority": True}, "priority"),
        ({"estimated_duration": 0}, "estimated_duration"),
        ({"estimated_duration": 1441}, "estimated_duration"),
        ({"config": []}, "config"),
        ({"config": {"seconds": -1}}, "config.seconds"),
        ({"config": {"nope": 1}}, "config.nope"),
        ({"config": {"timeout_seconds": "9"}}, "config.timeout_seconds"),
        ({"config": {"seconds": "a" * 40_000}}, "config"),
        ({"status": "completed"}, "status"),
        ({"user_id": "01890a5d-ac96-774b-bcce-b302099a8057"}, "user_id"),
    ],
)
def test_a_task_with_one_bad_field(user: Person, change: dict[str, Any], field: str) -> None:
    assert field in field_errors(user.client.post("/api/tasks", json=MINIMAL | change))


@pytest.mark.parametrize(
    "video_url",
    [
        None,
        "",
        "ftp://example.com/a.mp4",
        "javascript:alert(1)",
        "http://",
        "https://user:secret@example.com/a.mp4",
        "https://example.com:0/a.mp4",
        "https://example.com:99999/a.mp4",
        "https://exa mple.com/a.mp4",
        "https://a..b.com/a.mp4",
        "https://.example.com/a.mp4",
        "https://" + "a" * 64 + ".com/a.mp4",
        "https://" + "a." * 127 + "com/a.mp4",
        "file://other-host/clip.mp4",
        "//example.com/a.mp4",
        "https://example.com/" + "a" * 2_048,
        "https://example.com:8080/a.mp4",
        "https://127.0.0.1/a.mp4",
        "http://localhost/a.mp4",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:10.0.0.1]/a.mp4",
        "https://0x7f000001/a.mp4",
        "https://2130706433/a.mp4",
        "https://exam\u200bple.com/a.mp4",
        "https://例子.cn/a.mp4",
        "file:///../etc/passwd",
        "file:%252e%252e/x",
    ],
)
def test_a_video_address_that_is_none(user: Person, video_url: str | None) -> None:
    body = {"title": "x", "task_type": "video_analysis", "config": {"video_url": video_url}}
    assert "config.video_url" in field_errors(user.client.post("/api/tasks", json=body))


def test_a_network_that_the_operator_opened_may_be_named(database_url: str) -> None:
    def order(video_url: str) -> dict[str, Any]:
        config = {"video_url": video_url, "analysis_type": "everything"}
        return {"title": "x", "task_type": "video_analysis", "config": config}

    networks = (ip_network("127.0.0.0/8"),)
    with LiveApi(database_url, fetch_networks=networks) as api, api.someone() as person:
        for video_url, named in [("http://127.0.0.1/a.mp4", False), ("http://10.0.0.1/", True)]:
            found = field_errors(person.client.post("/api/tasks", json=order(video_url)))
            assert "config.analysis_type" in found
            assert ("config.video_url" in found) is named


def test_every_bad_field_is_named_in_the_language_asked_for(user: Person) -> None:
    body = {"title": "", "task_type": "test", "priority": 9, "config": {"x": 1}, "extra": 1}
    in_chinese = field_errors(user.client.post("/api/tasks", json=body))
    assert in_chinese.keys() == {"title", "priority", "config.x", "extra"}
    assert in_chinese["priority"] == ["优先级不能大于5"]
    answer = user.client.post("/api/tasks", json=body, headers={"Accept-Language": "en"})
    assert field_errors(answer)["priority"] == ["The priority must not be greater than 5"]
    told = "The request is not valid: correct the fields in details.field_errors"
    assert answer.json()["message"] == told


def test_an_unknown_type_names_the_known_ones(user: Person) -> None:
    found = field_errors(user.client.post("/api/tasks", json=MINIMAL | {"task_type": "x"}))
    assert "test" in found["task_type"][0]
    assert "video_analysis" in found["task_type"][0]


def test_a_body_that_is_too_large_is_not_read_to_its_end(user: Person) -> None:
    huge = json.dumps(MINIMAL | {"description": "x" * 300_000}).encode()
    headers = {"Content-Type": "application/json"}
    refused(
        user.client.post("/api/tasks", content=huge, headers=headers), 413, "PAYLOAD_TOO_LARGE"
    )
    chunks = (huge[at : at + 10_000] for at in range(0, len(huge), 10_000))
    refused(
        user.client.post("/api/tasks", content=chunks, headers=headers),
        413,
        "PAYLOAD_TOO_LARGE",
    )


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_a_body_of_another_kind(user: Person, media_type: str) -> None:
    refused(
        user.client.post(
            "/api/tasks",
            content=json.dumps(MINIMAL),
            headers={"Content-Type": media_type},
        ),
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    )


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=abc", "page"),
        ("page=1000000000", "page"),
        ("page=1&page=2", "page"),
        ("page_size=0", "page_size"),
        ("page_size=101", "page_size"),
        ("status=nope", "status"),
        ("status=null", "status"),
        ("user_id=NULL&page=null", "page"),
        ("sort_by=cost;DROP%20TABLE", "sort_by"),
        ("sort_order=up", "sort_order"),
        ("task_type=%00", "task_type"),
        ("nope=1", "nope"),
        ("page=%ff", "query"),
        ("&".join(f"a{number}=1" for number in range(60)), "query"),
    ],
)
def test_a_query_that_is_wrong(user: Person, query: str, field: str) -> None:
    assert field in field_errors(user.client.get(f"/api/tasks?{query}"))


def test_every_bad_parameter_is_named(user: Person) -> None:
    found = field_errors(user.client.get("/api/tasks?page=0&page_size=x&status=y&z=1&z=2"))
    assert found.keys() == {"page", "page_size", "status", "z"}
    assert found["status"] == [
        "状态取值无效，可选：pending, running, completed, failed, cancelled"
    ]


def test_past_the_end_a_page_is_empty(user: Person) -> None:
    page = ok(user.client.get("/api/tasks?page=10000&page_size=100"))
    assert page["items"] == []
