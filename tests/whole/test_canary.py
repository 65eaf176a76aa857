"""No secret and no e-mail address in any line of any process, and the log proves itself.

A day of a user on the whole farm, wrong passwords and unknown codes included; then every file
that a process wrote and every line of the system log is read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import httpx
import psycopg

from tests.whole.farm import CLIP, PASSWORD, Client, Farm, new_name

GUESS = "Canary-Gu3ss-5e5e"
UNKNOWN_CODE = "OWL-CNRY-2345-6789"
SYSTEM_LOG = "SELECT system_log::text FROM owl_log.system_log"


def a_day(farm: Farm) -> list[str]:
    """Everything that a user does; the secrets that came up."""
    name = new_name()
    email = f"{name}@example.com"
    user = farm.user(name)
    code = farm.codes(amount=20)[0]
    for tried in (UNKNOWN_CODE, code, code):
        user.http.post("/recharge/redeem", json={"code": tried})
    for guess in (GUESS, PASSWORD):
        login = {"email": email, "password": guess}
        farm.client(1).http.post("/auth/login", json=login)
    user.http.post("/auth/login", json={"email": email, "password": GUESS, email: GUESS})
    user.http.get(f"/users/me?email={email}&password={GUESS}")
    httpx.get(f"{user.http.base_url}users/me", headers={"Authorization": f"Bearer {GUESS}"})
    task_id = user.submit("video_analysis", video_url=CLIP.as_uri())
    ended = user.ended(task_id)
    assert ended["status"] == "completed", ended["error_message"]
    token = token_of(user)
    changed = {"current_password": PASSWORD, "new_password": f"{PASSWORD}-2"}
    assert user.http.post("/users/change-password", json=changed).is_success
    fresh = str(farm.admin().ask("POST", "/gpu/servers", {"name": name})["enrolment_token"])
    return [email, token, code, code.replace("-", "").lower(), fresh, GUESS, PASSWORD]


def token_of(user: Client) -> str:
    return str(user.http.headers["Authorization"]).removeprefix("Bearer ")


def keys_of(farm: Farm) -> Iterator[str]:
    """The platform's own keys, as they lie in its directory."""
    for path in (farm.directory / "secrets").iterdir():
        if path.is_file() and len(text := path.read_text(encoding="utf-8").strip()) >= 16:
            yield text


def test_no_line_of_any_process_tells_a_secret(farm: Farm) -> None:
    secrets = [*a_day(farm), UNKNOWN_CODE, *keys_of(farm)]
    assert len(secrets) >= 10
    written = {path.name: path.read_text("utf-8") for path in farm.directory.glob("*.log")}
    assert {name.partition("-")[0].removesuffix(".log") for name in written} == {
        *("serve", "work", "agent"),
    }
    with psycopg.connect(farm.database_url) as connection:
        kept = [row[0] for row in connection.execute(SYSTEM_LOG)]
    assert len(kept) >= 10
    written["system log"] = "\n".join(kept)
    for name, text in written.items():
        assert [secret for secret in secrets if secret in text] == [], name
    lines = [
        line
        for name, text in written.items()
        if name.endswith(".log")
        for line in text.splitlines()
    ]
    assert len(lines) >= 30
    assert all(json.loads(line)["event"] for line in lines), "without a terminal a line is JSON"


def test_owl_audit_verify_says_that_everything_is_right(farm: Farm) -> None:
    user = farm.user(new_name(), yuan=20)
    assert user.ended(user.submit("test"))["status"] == "completed"
    settings = {
        "OWL_PROFILE": "dev",
        "OWL_DATABASE_URL": farm.database_url,
        "OWL_DATA_DIR": str(farm.directory),
    }
    for program in ("verify", "reconcile"):
        ended = subprocess.run(
            [sys.executable, "-m", "api.cli", "audit", program, "--json"],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        found = json.loads(ended.stdout)
        assert found["is_right"] is True
        assert found.get("head", found.get("position")) > 20
