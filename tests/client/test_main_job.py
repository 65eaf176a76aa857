"""The demonstration: from a recharge code to an analysis and its price, again and again."""

import asyncio
import io
import threading
import time
from pathlib import Path
from uuid import UUID

from rich.console import Console

from api.demo.main_job import Credentials, MainJobOutcome, run_main_job
from api.registration import DEV_ADMIN_EMAIL, DEV_ADMIN_PASSWORD, ensure_dev_admin
from tests.api.live import LiveApi, ok
from tests.client.played_farm import PlayedFarm
from tests.client.test_show import REPORT

ADMIN = Credentials(email=DEV_ADMIN_EMAIL, password=DEV_ADMIN_PASSWORD)
DEMO = Credentials(email="demo@example.com", password="demo-password")
PICTURE = b"\xff\xd8 a picture"


def play_one(api: LiveApi, farm: PlayedFarm) -> None:
    """Run the next task that waits, as scheduler and agent would."""
    login = {"email": ADMIN.email, "password": ADMIN.password}
    with api.client() as client:
        token = ok(client.post("/api/auth/login", json=login))["access_token"]
    deadline = time.monotonic() + 20
    with api.client(token) as client:
        waiting = {"user_id": "all", "status": "pending"}
        while not (found := ok(client.get("/api/tasks", params=waiting))["items"]):
            assert time.monotonic() < deadline, "no task was submitted"
    task_id = UUID(found[0]["id"])
    farm.start(task_id, ago_s=5)
    farm.complete(task_id, run_ms=2_130, result=REPORT, files={"thumbnail-01.jpg": PICTURE})


def run(api: LiveApi, farm: PlayedFarm, results: Path) -> tuple[MainJobOutcome, str]:
    page = io.StringIO()
    agent = threading.Thread(target=play_one, args=(api, farm))
    agent.start()
    outcome = asyncio.run(
        run_main_job(
            api.url,
            media_file=results / "bigbuckbunny.mp4",
            results_dir=results,
            console=Console(file=page, width=120),
            admin=ADMIN,
            demo=DEMO,
        )
    )
    agent.join(20)
    return outcome, page.getvalue()


def test_it_pays_analyses_and_shows_and_does_so_again(
    api: LiveApi, farm: PlayedFarm, tmp_path: Path
) -> None:
    assert api.call(ensure_dev_admin(api.platform))
    first, text = run(api, farm, tmp_path)
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
    second, text = run(api, farm, tmp_path)
    assert second.exit_code == 0, text
    assert second.bill is not None
    assert second.bill.before == 19.96
    assert set(second.files).isdisjoint(first.files)


def test_a_failure_is_said_in_a_sentence_and_is_1(tmp_path: Path) -> None:
    page = io.StringIO()
    outcome = asyncio.run(
        run_main_job(
            "http://127.0.0.1:9",
            media_file=tmp_path / "clip.mp4",
            results_dir=tmp_path,
            console=Console(file=page, width=120),
            admin=ADMIN,
            demo=DEMO,
        )
    )
    assert outcome.exit_code == 1
    assert page.getvalue().startswith("failed: the API at http://127.0.0.1:9/api")
