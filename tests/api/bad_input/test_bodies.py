"""Bodies at any endpoint. Each test names its rows in ``docs/contract/bad-input.md``."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.body import BODY_BYTES_MAX, DEPTH_MAX
from tests.api.live import Person, field_errors, ok, refused

JSON = {"Content-Type": "application/json"}
TASK = {"title": "测试任务", "task_type": "test", "description": "这是一个测试任务"}
HEAD = b'{"title":"a","task_type":"test"'


def post(
    person: Person, body: bytes, path: str = "/api/tasks", **headers: str
) -> httpx.Response:
    return person.client.post(path, content=body, headers=JSON | headers)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b" \n", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b"1", "body"),
        (b'"text"', "body"),
        (HEAD + b"}x", "body"),
        (HEAD + b"}{}", "body"),
        (b"\xef\xbb\xbf" + HEAD + b"}", "body"),
        (HEAD + b',"priority":NaN}', "body"),
        (HEAD + b',"priority":Infinity}', "body"),
        (HEAD + b",}", "body"),
        (b"{'title':'a'}", "body"),
        (b'{"title":"\xff","task_type":"test"}', "body"),
        (b'{"title":"\xed\xa0\x80","task_type":"test"}', "body"),
        ('{"title":"a","task_type":"test"}'.encode("utf-16"), "body"),
        (HEAD + b',"priority":1e400}', "priority"),
        (b'{"title":"a\\ud800","task_type":"test"}', "title"),
        (b'{"title":"a\\udc00\\ud800","task_type":"test"}', "title"),
    ],
)
def test_what_is_no_json_object_in_utf_8(user: Person, body: bytes, field: str) -> None:
    """C1.01"""
    assert list(field_errors(post(user, body))) == [field]


def test_nesting(user: Person) -> None:
    """C1.02"""
    for depth in (DEPTH_MAX + 1, 50_000):
        body = HEAD + b',"config":' + b"[" * depth + b"]" * depth + b"}"
        assert list(field_errors(post(user, body))) == ["body"]
    nested: Any = 1
    for _ in range(9):
        nested = {"k": nested}
    answer = user.client.post("/api/tasks", json=TASK | {"config": nested})
    assert list(field_errors(answer)) == ["config"]


def test_size(user: Person) -> None:
    """C1.03"""
    huge = json.dumps(TASK | {"description": "x" * BODY_BYTES_MAX}).encode()
    refused(post(user, huge), 413, "PAYLOAD_TOO_LARGE")

    def chunks() -> Iterator[bytes]:
        for at in range(0, len(huge), 10_000):
            yield huge[at : at + 10_000]

    answer = user.client.post("/api/tasks", content=chunks(), headers=JSON)
    refused(answer, 413, "PAYLOAD_TOO_LARGE")
    config = {"seconds": 0, "text": "x" * 33_000}
    answer = user.client.post("/api/tasks", json=TASK | {"config": config})
    assert list(field_errors(answer)) == ["config"]


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/msgpack",
        "application/xml",
        "application/json-patch+json",
        "application/jsonx",
        "*/*",
    ],
)
def test_media_types(user: Person, media_type: str) -> None:
    """C1.04"""
    body = json.dumps(TASK).encode()
    answer = user.client.post("/api/tasks", content=body, headers={"Content-Type": media_type})
    refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_body_is_json_whatever_the_media_types_case_and_parameters(user: Person) -> None:
    """C1.04"""
    kind = {"Content-Type": "Application/JSON; charset=utf-8"}
    ok(user.client.post("/api/tasks", content=json.dumps(TASK), headers=kind))


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
def test_compressed_bodies_are_not_unpacked(user: Person, coding: str) -> None:
    """C1.05"""
    bomb = gzip.compress(json.dumps(TASK | {"description": "x" * 10_000_000}).encode())
    assert len(bomb) < BODY_BYTES_MAX
    answer = post(user, bomb, **{"Content-Encoding": coding})
    refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (b',"extra":1', "extra"),
        (b',"title":"b"', "title"),
        (b',"\\u0074itle":"b"', "title"),
        (b',"config":{"seconds":0,"seconds":0}', "seconds"),
        (b',"priority":null', "priority"),
        (b',"priority":true', "priority"),
        (b',"priority":1.0', "priority"),
        (b',"priority":"1"', "priority"),
        (b',"priority":[1]', "priority"),
        (b',"estimated_duration":{}', "estimated_duration"),
    ],
)
def test_fields(user: Person, change: bytes, field: str) -> None:
    """C1.06"""
    assert field in field_errors(post(user, HEAD + change + b"}"))


def test_a_required_field_that_is_null_or_not_there(user: Person) -> None:
    """C1.06"""
    for title in ({"title": None}, {}):
        answer = user.client.post("/api/tasks", json={"task_type": "test"} | title)
        assert list(field_errors(answer)) == ["title"]


def test_all_bad_fields_are_named(user: Person) -> None:
    """C1.07"""
    body = {"title": "", "task_type": "test", "priority": 9, "config": {"x": 1}, "extra": 1}
    answer = user.client.post("/api/tasks?page=1", json=body)
    assert field_errors(answer).keys() == {"title", "priority", "config.x", "extra", "page"}


@pytest.mark.parametrize(
    "character",
    ["\x00", "\x07", "\x1b", "\n", "\r", "\x7f", "\x85", "\u2028", "\u202a", "\u202e", "\u2066",
     "\u2069", "\ufeff", "\uffff"],
)  # fmt: skip
def test_characters_that_deceive(user: Person, character: str) -> None:
    """C1.08"""
    for is_escaped in (True, False):
        body = json.dumps(TASK | {"title": f"a{character}b"}, ensure_ascii=is_escaped)
        found = field_errors(post(user, body.encode()))
        assert list(found) in (["title"], ["body"])  # raw controls are no JSON
    answer = user.client.post("/api/tasks", json=TASK | {"config": {f"k{character}": 1}})
    assert field_errors(answer)


@pytest.mark.parametrize("text", [" ", "\u3000", "\u200b", "\u3164", "\u2800", "\u0301"])
def test_texts_that_show_nothing(user: Person, text: str) -> None:
    """C1.08"""
    body = TASK | {"title": text * 3, "description": text}
    assert field_errors(user.client.post("/api/tasks", json=body)).keys() == {
        "title",
        "description",
    }


def test_text_is_composed_and_keeps_its_line_breaks(user: Person) -> None:
    """C1.08"""
    body = TASK | {"title": "e\u0301" * 200, "description": "a\n\tb"}
    task_id = ok(user.client.post("/api/tasks", json=body))["id"]
    task = ok(user.client.get(f"/api/tasks/{task_id}"))
    assert (task["title"], task["description"]) == ("é" * 200, "a\n\tb")


@pytest.mark.parametrize(
    ("number", "field"),
    [
        (b"9007199254740993", "priority"),
        (b"-9007199254740993", "priority"),
        (b"9" * 40, "priority"),
        (b"9" * 4_000, "priority"),
        (b"9" * 5_000, "body"),
        (b"1e5", "priority"),
        (b"-0", "priority"),
        (b"01", "body"),
        (b"0x1", "body"),
    ],
)
def test_integers(user: Person, number: bytes, field: str) -> None:
    """C1.10"""
    assert list(field_errors(post(user, HEAD + b',"priority":' + number + b"}"))) == [field]


AMOUNTS = (
    *('"NaN"', '"Infinity"', '"-Infinity"', "1e2", "1E2", '"1e3"', "0.001", '"0.001"', "1.000"),
    *("-1", '"-1"', "0", "0.00", "-0", "1000000.01", "1e400", "9" * 4_000, '"1_000"', '" 5"'),
    *('"5 "', '"+5"', '"５"', '"٥"', '".5"', '"5."', '"0x10"', '"1,000"', '""', "true", "null"),
    *("[]", "{}", '"¥5"', '"5元"'),
)


@pytest.mark.parametrize("amount", AMOUNTS)
def test_amounts(admin: Person, amount: str) -> None:
    """C1.11"""
    answer = post(admin, b'{"amount":%s}' % amount.encode(), "/api/recharge/codes")
    assert list(field_errors(answer)) == ["amount"]


@pytest.mark.parametrize(
    "amount", ["-1", "-0", "1e2", '"1_0"', '" 5"', "0.001", "NaN", '"NaN"']
)
def test_balances_and_prices(admin: Person, user: Person, amount: str) -> None:
    """C1.11"""
    path = f"/api/admin/users/{user.user_id}"
    for body in (b'{"balance":%s}', b'{"prices_per_minute":{"test":%s}}'):
        where = path if b"balance" in body else "/api/admin/config"
        answer = admin.client.put(where, content=body % amount.encode(), headers=JSON)
        assert field_errors(answer).keys() <= {"balance", "prices_per_minute", "body"}


@pytest.mark.parametrize(
    ("amount", "fen"), [("5", 500), ("5.1", 510), ('"5.10"', 510), ("100000.00", 10**7)]
)
def test_amounts_that_are_ones(admin: Person, amount: str, fen: int) -> None:
    """C1.11"""
    issued = ok(post(admin, b'{"amount":%s}' % amount.encode(), "/api/recharge/codes"))
    assert round(issued["codes"][0]["amount"] * 100) == fen


@pytest.mark.parametrize(
    "at",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "1999-12-31T23:59:59Z",
        "2101-01-01T00:00:00Z",
        "2030-02-30T00:00:00Z",
        "2030-01-01",
        "2030-01-01T25:00:00Z",
        "tomorrow",
        1_900_000_000,
        True,
    ],
)
def test_times(admin: Person, at: Any) -> None:
    """C1.12"""
    answer = admin.client.post("/api/recharge/codes", json={"amount": 1, "expires_at": at})
    assert list(field_errors(answer)) == ["expires_at"]


def test_a_time_without_a_zone_is_utc(admin: Person) -> None:
    """C1.12"""
    body = {"amount": 1, "expires_at": "2099-12-31T23:59:59"}
    issued = ok(admin.client.post("/api/recharge/codes", json=body))
    assert issued["codes"][0]["expires_at"] == "2099-12-31T23:59:59Z"
