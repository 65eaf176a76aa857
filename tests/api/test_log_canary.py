"""No password, token, e-mail address or code is in any line, whatever a client sends where."""

from __future__ import annotations

import json
from contextlib import ExitStack
from io import StringIO
from typing import Any, Final
from urllib.parse import quote

import structlog
from msgspec.structs import replace

from api.logging_setup import set_up_logging
from api.settings import Settings
from api.system_log import Config, SystemLog
from tests.api.live import LiveApi, Person, ok
from tests.api.test_authorisation import OTHERWISE, World
from tests.api.test_policy import routes_of

EMAIL: Final = "canary.person@example.com"
PASSWORD: Final = "Canary-Passw0rd-7f3a"
NEW_PASSWORD: Final = "Canary-Passw0rd-8c1d"
GUESS: Final = "Canary-Gu3ss-5e5e"
UNKNOWN_CODE: Final = "OWL-CNRY-2345-6789"
SAID: Final = f"{EMAIL} {PASSWORD}"
"""In every text that a handler takes."""
SEARCHED: Final = ("/api/logs/system?", "/api/logs/download?log_type=system&")
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


def knock_everywhere(api: LiveApi, world: World) -> None:
    """Every route, with secrets wherever a client might put them; a good request comes last."""
    query = f"?email={quote(EMAIL)}&password={PASSWORD}&token={PASSWORD}"
    broken = json.dumps(BODY)[:-5]
    headers = {"Content-Type": "application/json", "Idempotency-Key": "canary-key"}
    client = world.admin.client
    tails = api.app.state.tails
    tails.config = replace(tails.config, most_s=0.05)
    for route in routes_of(api):
        method, path = route.partition(" ")[0], world.path(route)
        for address in (path.partition("?")[0] + query, f"{path}/{EMAIL}"):
            client.request(method, address, json=BODY)
        if method == "GET":
            answer = client.request(method, path, json=BODY)
        else:
            client.request(method, path, json=BODY)
            client.request(method, path, content=broken, headers=headers)
            answer = world.served(route, SAID)
        assert answer.status_code == OTHERWISE.get(route, 200), (route, answer.text)
    for path in SEARCHED:
        assert client.get(f"{path}search={quote(SAID)}").is_success, path


def test_no_secret_is_in_any_line(database_url: str, terminal: StringIO) -> None:
    with (
        SystemLog(database_url, program="owl serve", level="DEBUG", config=Config()) as kept,
        LiveApi(database_url) as api,
        ExitStack() as stack,
    ):
        world = World(api, stack)
        secrets = [*secrets_of(api, world.admin), world.owner.token, world.owner.email]
        knock_everywhere(api, world)
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
