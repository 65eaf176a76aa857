"""The published Postman collection run by ``newman``, Postman's own runner."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.api.published import FOLDER

COLLECTION = FOLDER / "owl-factory.postman_collection.json"
NEWMAN = shutil.which("newman")

with_newman = pytest.mark.skipif(NEWMAN is None, reason="this machine has no newman")


def folders() -> dict[str, list[dict[str, Any]]]:
    """The collection's requests, by folder."""
    collection = json.loads(COLLECTION.read_text(encoding="utf-8"))
    return {folder["name"]: folder["item"] for folder in collection["item"]}


def run_against(
    origin: str, report: Path, *, request_s: int, only: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What newman says of a run of the whole collection, or of some of its folders."""
    ended = subprocess.run(
        [
            *(str(NEWMAN), "run", str(COLLECTION), "--env-var", f"origin={origin}"),
            *("--timeout-request", str(1000 * request_s)),
            *(word for name in only for word in ("--folder", name)),
            *("--reporters", "json", "--reporter-json-export", str(report)),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert report.exists(), ended.stderr
    run: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))["run"]
    failures = [
        (failure["source"]["name"], failure["error"]["message"]) for failure in run["failures"]
    ]
    assert not failures, (failures, ended.stderr)
    return run
