"""The demonstration: from a recharge code to an analysis and its price, again and again."""

import asyncio
import io
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from api.demo.main_job import Credentials, MainJobOutcome, run_main_job
from tests.api.live import PASSWORD, LiveApi, Person, ok
from tests.client.played_farm import PlayedFarm
from tests.client.test_show import REPORT

DEMO = Credentials(email="demo@example.com", password="demo-password")
PICTURE = b"\xff\xd8 a picture"


def play_one(admin: Person, farm: PlayedFarm) -> None:
    """Run the next task that waits, as scheduler and agent would."""
    deadline = time.monotonic() + 20
    waiting = {"user_id": "all", "status": "pending"}
    while not (found := ok(admin.client.get("/api/tasks", params=waiting))["items"]):
        assert time.monotonic() < deadline, "no task was submitted"
    task_id = UUID(found[0]["id"])
    farm.start(task_id, ago_s=5)
    farm.complete(task_id, run_ms=2_130, result=REPORT, files={"thumbnail-01.jpg": PICTURE})


def show(
    api_url: str, results: Path, token: str, demo: Credentials = DEMO
) -> tuple[MainJobOutcome, str]:
    page = io.StringIO()
    outcome = asyncio.run(
        run_main_job(
            api_url,
            media_file=results / "bigbuckbunny.mp4",
            results_dir=results,
            console=Console(file=page, width=120),
            operator=token,
            demo=demo,
        )
    )
    return outcome, page.getvalue()


def run(
    api: LiveApi, admin: Person, farm: PlayedFarm, results: Path
) -> tuple[MainJobOutcome, str]:
    agent = threading.Thread(target=play_one, args=(admin, farm))
    agent.start()
    shown = show(api.url, results, admin.token)
    agent.join(20)
    return shown


def codes(admin: Person) -> int:
    return int(ok(admin.client.get("/api/recharge/codes"))["total"])


def demo_id(admin: Person, email: str) -> str:
    users = ok(admin.client.get("/api/admin/users?page_size=100"))["items"]
    (found,) = (user["id"] for user in users if user["email"] == email)
    return str(found)


def test_it_pays_analyses_and_shows_and_does_so_again_with_what_is_left(
    api: LiveApi, admin: Person, farm: PlayedFarm, tmp_path: Path
) -> None:
    first, text = run(api, admin, farm, tmp_path)
    assert first.exit_code == 0, text
    assert first.bill is not None
    assert first.bill.before == 10.0
    assert first.bill.after == 9.96  # 2.13 s at 1.05 a minute
    assert [path.read_bytes() for path in first.files] == [PICTURE]
    for wanted in (
        *("made the recharge code OWL-", "the balance is ¥10.00 now", "0:05.280", "¥0.04"),
        *("¥9.96", str(first.files[0]), f"{api.url}/docs", "owl tasks logs"),
    ):
        assert wanted in text, text
    path = f"/api/admin/users/{demo_id(admin, DEMO.email)}"
    ok(admin.client.put(path, json={"role": "admin"}))
    second, text = run(api, admin, farm, tmp_path)
    assert second.exit_code == 0, text
    assert second.bill is not None
    assert second.bill.before == 9.96
    assert codes(admin) == 1, "another start, no other code"
    assert set(second.files).isdisjoint(first.files)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"role": "auditor"}, "is an auditor now, who orders nothing: `owl admin users update"),
        ({"is_active": False}, "--active` lets it in again"),
    ],
)
def test_a_demonstration_that_cannot_be_says_why_and_leaves_no_code(
    api: LiveApi, admin: Person, tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    with api.someone() as user:
        ok(admin.client.put(f"/api/admin/users/{user.user_id}", json=changed))
        before = codes(admin)
        demo = Credentials(email=user.email, password=PASSWORD)
        outcome, text = show(api.url, tmp_path, admin.token, demo)
    assert outcome.exit_code == 1
    assert f"no demonstration: {user.email} " in text
    assert told in " ".join(text.split())
    assert codes(admin) == before


def test_a_failure_is_said_in_a_sentence_and_is_1(tmp_path: Path) -> None:
    outcome, text = show("http://127.0.0.1:9", tmp_path, "")
    assert outcome.exit_code == 1
    assert text.startswith("failed: the API at http://127.0.0.1:9/api")
