"""One line a request, quick and clean."""

import json
import logging
from io import StringIO
from uuid import uuid4

from hypothesis import example, given
from hypothesis import strategies as st

from api.access_log import ACCESS, Request, note, written
from api.logging_setup import set_up_logging
from api.redaction import redacted
from api.settings import Settings
from tests.api.live import LiveApi

PIECES = st.sampled_from(
    [
        *("/api/", "tasks", "owl-abcd-2345-efgh", "OWLABCD2345EFGH", "me@example.com", "%40"),
        *("eyJhbGciOi.abc.def", "owl1.a.1.b", "password=hush", "a.b", "-", "_", "9", "Bearer "),
        *("u:p@", "://", "SUAM" + "A" * 54, "$argon2id$v=19$x", "猫"),
    ]
)


def line(path: str = "/api/tasks", request_id: str = "7f" * 16) -> Request:
    return Request("GET", path, 200, 1.25, request_id, None)


def test_a_request_is_one_line_with_all_there_is_to_say(terminal: StringIO) -> None:
    note(line())
    said = json.loads(terminal.getvalue())
    assert said.pop("timestamp").endswith("Z")
    assert said == {
        "event": "request",
        "method": "GET",
        "path": "/api/tasks",
        "status": 200,
        "duration_ms": 1.25,
        "request_id": "7f" * 16,
        "user_id": None,
        "logger": ACCESS,
        "level": "info",
        "program": "t",
    }


@given(st.lists(PIECES | st.text(max_size=6), max_size=6).map("".join))
@example("/api/owl-abcd-2345-efgh")
def test_what_is_redacted_elsewhere_is_redacted_here(text: str) -> None:
    record = logging.LogRecord(ACCESS, logging.INFO, "", 0, "", None, None)
    said = json.loads(written(line(text, text), record, "t"))
    assert said["path"] == said["request_id"] == redacted(text)


def test_a_method_that_is_none_is_not_repeated() -> None:
    record = logging.LogRecord(ACCESS, logging.INFO, "", 0, "", None, None)
    odd = Request("LIN.FORGETMENOT", "/api/tasks", 405, 1.25, "7f" * 16, None)
    assert json.loads(written(odd, record, "t"))["method"] == "*"


def test_in_a_terminal_it_reads_like_any_other_line(terminal: StringIO) -> None:
    stream = StringIO()
    settings = Settings(profile="test", log_format="text")
    set_up_logging(settings, program="t", stream=stream)
    note(line("/api/me@example.com"))
    said = stream.getvalue()
    assert "request" in said
    assert "status=200" in said
    assert "example.com" not in said


def test_above_its_level_nothing_is_written(terminal: StringIO) -> None:
    stream = StringIO()
    settings = Settings(profile="test", log_level="WARNING")
    set_up_logging(settings, program="t", stream=stream)
    note(line())
    assert stream.getvalue() == ""


def test_a_request_over_http_writes_its_line(api: LiveApi, terminal: StringIO) -> None:
    with api.client() as client:
        client.get("/api/users/me", headers={"X-Request-ID": "OWL-ABCD-2345-EFGH"})
        client.get("/health/live")
    api.until(terminal.getvalue)
    (said,) = [json.loads(text) for text in terminal.getvalue().splitlines()]
    assert (said["path"], said["status"]) == ("/api/users/me", 401)
    assert said["request_id"] == "[redacted]"


def test_a_path_says_what_the_platform_named_and_nothing_that_somebody_typed(
    api: LiveApi, terminal: StringIO
) -> None:
    known = f"/api/tasks/{uuid4()}"
    paths = {
        known: known,
        f"{known}/artifacts/lin.png": f"{known}/artifacts/*",
        "/api/logs/no-word/17": "/api/logs/*/17",
        "/api/users/lin.forgetmenot": "/api/users/*",
        "/api/users/13812345678": "/api/users/*",
        "/api/users/林": "/api/users/*",
        "/lin//forgetmenot": "/*//*",
        "/api/users/{user_id}": "/api/users/*",
    }
    with api.client() as client:
        for path in paths:
            client.get(path)
    api.until(lambda: terminal.getvalue().count("\n") == len(paths))
    said = [json.loads(text)["path"] for text in terminal.getvalue().splitlines()]
    assert said == list(paths.values())
