"""No password, token, e-mail address or code is in any line, whatever a client sends where."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any, Final
from urllib.parse import quote

import structlog
from litestar.routes import HTTPRoute

from api.logging_setup import set_up_logging
from api.settings import Settings
from api.system_log import Config, SystemLog
from tests.api.live import LiveApi, Person, ok

EMAIL: Final = "canary.person@example.com"
PASSWORD: Final = "Canary-Passw0rd-7f3a"
NEW_PASSWORD: Final = "Canary-Passw0rd-8c1d"
GUESS: Final = "Canary-Gu3ss-5e5e"
UNKNOWN_CODE: Final = "OWL-CNRY-2345-6789"
LOGS: Final = "SELECT system_log::text FROM owl_log.system_log"
BODY: Final = {
    "email": EMAIL,
    "username": "canary_person",
    "password": PASSWORD,
    "current_password": GUESS,
    "new_password": NEW_PASSWORD,
    "code": UNKNOWN_CODE,
    "token": PASSWORD,
    EMAIL: PASSWORD,
}


def secrets_of(api: LiveApi, admin: Person) -> list[str]:
    """A person's whole day; the secrets that it made."""
    with api.client() as anonymous:
        ok(
            anonymous.post(
                "/api/auth/register",
                json={"email": EMAIL, "username": "canary_person", "password": PASSWORD},
            )
        )
        for password in (GUESS, PASSWORD):
            login = anonymous.post(
                "/api/auth/login", json={"email": EMAIL, "password": password}
            )
        token = ok(login)["access_token"]
        anonymous.get("/api/users/me", headers={"Authorization": f"Bearer {token}x"})
        anonymous.get("/api/users/me", headers={"Authorization": f"Basic {PASSWORD}"})
    with api.client(token) as person:
        batch = ok(admin.client.post("/api/recharge/codes", json={"amount": 5}))["codes"]
        code = batch[0]["code"]
        for tried in (UNKNOWN_CODE, code, code):
            person.post("/api/recharge/redeem", json={"code": tried})
        admin.client.post(f"/api/recharge/codes/{batch[0]['id']}/reveal")
        for current in (GUESS, PASSWORD):
            changed = person.post(
                "/api/users/change-password",
                json={"current_password": current, "new_password": NEW_PASSWORD},
            )
        fresh = ok(changed)["access_token"]
        person.get("/api/users/me")
    server = ok(admin.client.post("/api/gpu/servers", json={"name": "canary-gpu"}))
    enrolment = next(value for name, value in server.items() if name.endswith("token"))
    admin.client.post(
        "/api/gpu/servers/enroll", json={"token": enrolment, "public_key": "U", "host": "h"}
    )
    return [token, fresh, code, enrolment, admin.token, admin.email]


def knock_everywhere(api: LiveApi, admin: Person) -> None:
    """Every route, with secrets wherever a client might put them."""
    query = f"?email={quote(EMAIL)}&password={PASSWORD}&token={PASSWORD}"
    for route in api.app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for method in sorted(route.methods - {"OPTIONS"}):
            path = route.path_format.replace("{", "").replace("}", "")
            bare = "?max_seconds=1" if path.endswith("/stream") else ""  # it goes on otherwise
            for suffix in (bare, query, f"/{EMAIL}"):
                admin.client.request(method, f"{path}{suffix}", json=BODY)
            broken = json.dumps(BODY)[:-5]
            headers = {"Content-Type": "application/json", "Idempotency-Key": "canary-key"}
            admin.client.request(method, f"{path}{bare}", content=broken, headers=headers)


def test_no_secret_is_in_any_line(database_url: str, terminal: StringIO) -> None:
    with (
        SystemLog(database_url, program="owl serve", level="DEBUG", config=Config()) as kept,
        LiveApi(database_url) as api,
        api.someone("admin") as admin,
    ):
        secrets = secrets_of(api, admin)
        knock_everywhere(api, admin)
    lines = terminal.getvalue() + str(api.rows(LOGS))
    assert lines.count("\n") > 100, "the canary sang to nobody"
    assert kept.dropped == 0
    secrets += [EMAIL, quote(EMAIL), PASSWORD, NEW_PASSWORD, GUESS, UNKNOWN_CODE]
    secrets += [variant(code) for code in secrets if code.startswith("OWL-")]
    assert [secret for secret in secrets if secret in lines] == []


def variant(code: str) -> str:
    """The same code as its owner may type it."""
    return code.replace("-", "").lower()


def test_a_line_with_everything_in_it_loses_only_that(
    database_url: str, terminal: StringIO
) -> None:
    line: dict[str, Any] = {"request_id": "req-7", **BODY}
    with SystemLog(database_url, program="p", config=Config(gather_s=0.01)):
        structlog.stdlib.get_logger("t").error(f"failed for {EMAIL}", body=line, **line)
    written = terminal.getvalue()
    for secret in (EMAIL, PASSWORD, NEW_PASSWORD, GUESS, UNKNOWN_CODE):
        assert secret not in written
    assert "req-7" in written
    assert "canary_person" in written


def test_in_production_a_line_is_json_and_in_a_terminal_it_is_a_sentence(
    terminal: StringIO,
) -> None:
    def says(**settings: Any) -> str:
        stream = StringIO()
        set_up_logging(Settings(profile="test", **settings), program="t", stream=stream)
        structlog.stdlib.get_logger("t").warning("queue.long", waiting=7, email=EMAIL)
        return stream.getvalue()

    line = json.loads(says(log_format="json"))
    assert (line["event"], line["level"], line["waiting"]) == ("queue.long", "warning", 7)
    assert json.loads(says(log_format="auto"))["event"] == "queue.long"
    text = says(log_format="text")
    assert not text.startswith("{")
    assert "queue.long" in text
    assert "waiting" in text
    assert EMAIL not in text + str(line)
    assert terminal.getvalue() == ""
