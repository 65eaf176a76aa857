"""The published Postman collection, run by Postman's own runner where the machine has it.

Skipped where ``newman`` is not on PATH; ``test_documents`` runs the same file everywhere, with
the few lines of script that it has read by us.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from api.registration import ensure_dev_admin
from tests.api.live import LiveApi
from tests.api.published import FOLDER

COLLECTION = FOLDER / "owl-factory.postman_collection.json"
TIMEOUT_MS = 5_000
NEWMAN = shutil.which("newman")


@pytest.mark.skipif(NEWMAN is None, reason="this machine has no newman")
def test_the_collection_runs_in_postmans_own_runner(fresh_api: LiveApi, tmp_path: Path) -> None:
    fresh_api.call(ensure_dev_admin(fresh_api.platform))
    report = tmp_path / "report.json"
    ended = subprocess.run(
        [
            *(str(NEWMAN), "run", str(COLLECTION), "--env-var", f"origin={fresh_api.url}"),
            *("--timeout-request", str(TIMEOUT_MS)),
            *("--reporters", "json", "--reporter-json-export", str(report)),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    run: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))["run"]
    failures = [
        (failure["source"]["name"], failure["error"]["message"]) for failure in run["failures"]
    ]
    assert failures == [], ended.stderr
    collection = json.loads(COLLECTION.read_text(encoding="utf-8"))
    items = [item for folder in collection["item"] for item in folder["item"]]
    assert run["stats"]["requests"] == {"total": len(items), "pending": 0, "failed": 0}
    with_tests = [item for item in items if "event" in item]
    assert run["stats"]["assertions"]["total"] == len(with_tests) >= 35
