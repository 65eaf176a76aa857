"""What looks like a secret is in no line, in whatever field or sentence it stands."""

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from msgspec import Struct

from api.redaction import REDACTED, redact, redacted

JWT = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
SEED = "SUAM" + "A" * 54


@pytest.mark.parametrize(
    "name",
    [
        *("password", "password_hash", "current_password", "new_password", "passwd"),
        *("token", "access_token", "enrolment_token", "authorization", "cookie", "secret"),
        *("pepper", "seed", "issuer_seed", "email", "e_mail", "email_claim", "user.email"),
        *("sealing_key", "signing_key", "subject_key", "api_key", "sealed", "code", "codes"),
        *("credentials", "Password", "TOKEN", "x-api_key"),
    ],
)
def test_a_field_with_a_secret_name_is_redacted_at_any_depth(name: str) -> None:
    line = redact(None, "info", {"event": "x", name: "hush", "body": [{"inner": {name: 7}}]})
    assert "hush" not in str(line)
    assert line[name] == REDACTED
    assert line["body"][0]["inner"][name] == REDACTED


@pytest.mark.parametrize(
    "name", ["token_version", "error_code", "code_id", "status_code", "tokens_left", "key"]
)
def test_a_field_that_only_sounds_like_one_is_kept(name: str) -> None:
    assert redact(None, "info", {name: "7"})[name] == "7"


@pytest.mark.parametrize(
    "secret",
    [
        JWT,
        "alice@example.com",
        "alice%40example.com",
        "alice.o'hara+owl@mail.example.co.uk",
        "OWL-ABCD-2345-EFGH",
        "owlabcd2345efgh",
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
        SEED,
        "owl1.0190.1764000000.c2lnbmF0dXJl",
    ],
)
def test_a_text_that_looks_like_a_secret_is_redacted_inside_a_sentence(secret: str) -> None:
    assert redacted(f"before {secret} after") == f"before {REDACTED} after"
    assert secret not in redacted(f"({secret})")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://owl:hush@db:5432/owl", f"postgresql://{REDACTED}@db:5432/owl"),
        ("host=db password=hush dbname=owl", f"host=db password={REDACTED} dbname=owl"),
        ("GET /x?access_token=hush&page=1", f"GET /x?access_token={REDACTED}&page=1"),
        ("Authorization: Bearer hushhush", f"Authorization: Bearer {REDACTED}"),
        ('{"password": "hush"}', f'{{"password={REDACTED}"}}'),
    ],
)
def test_what_follows_a_secret_name_is_redacted(text: str, expected: str) -> None:
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "OWL-ABCD-****-****",
        "任务已完成 100%",
        "tasks.task_started/1",
        "019f0000-0000-7000-8000-00000000a11c",
        "nats://127.0.0.1:4222",
        "user@host",
        "token_version=3",
    ],
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert redacted(text) == text


def test_values_keep_their_kind() -> None:
    at, one = datetime(2026, 1, 1, tzinfo=UTC), UUID(int=1)
    line: dict[str, Any] = {"at": at, "id": one, "n": 3, "ok": True, "none": None, "f": 0.5}
    assert redact(None, "info", dict(line)) == line


class Login(Struct):
    email: str
    password_hash: str


def test_an_object_is_shown_by_its_redacted_text() -> None:
    login = Login("alice@example.com", "$argon2id$v=19$x")
    shown = str(redact(None, "info", {"command": login}))
    assert "alice" not in shown
    assert "argon2" not in shown


def test_nothing_is_too_deep_or_too_odd() -> None:
    deep: Any = "alice@example.com"
    for _ in range(50):
        deep = [deep]
    shown = redact(None, "info", {"deep": deep, "odd": "a\udc80b", "raw": b"\xff"})
    assert "alice" not in str(shown)
    assert (shown["odd"], shown["raw"]) == ("a?b", REDACTED)


@pytest.mark.parametrize(
    "part",
    ["x", "eyJ", "a_", "a@", "%", "://a:", "bearer ", "token=", "owl1.", "OWL", "$argon2"],
)
def test_no_text_takes_long(part: str) -> None:
    began = time.perf_counter()
    redacted(part * 200_000)
    assert time.perf_counter() - began < 10  # a quadratic search takes hours
