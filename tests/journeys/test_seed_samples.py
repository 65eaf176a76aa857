"""The contract's own curl lines and Python script, run as they are printed."""

import json
import re
import subprocess
import sys
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from api.registration import ensure_dev_admin
from tests.api.live import LiveApi

CONTRACT = Path(__file__).parents[2] / "docs/contract/owl-factory-api-v0.10.0.md"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
PRINTED_URL = "http://localhost:8000"


@pytest.fixture
def api(fresh_api: LiveApi) -> LiveApi:
    fresh_api.call(ensure_dev_admin(fresh_api.platform))
    return fresh_api


def blocks(language: str) -> list[str]:
    text = CONTRACT.read_text(encoding="utf-8")
    return [body for kind, body in BLOCK.findall(text) if kind == language]


def here(text: str, api: LiveApi) -> str:
    assert PRINTED_URL in text
    return text.replace(PRINTED_URL, api.url)


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(which("curl") is None, reason="this machine has no curl")
def test_the_curl_lines_work_as_printed(api: LiveApi) -> None:
    lines = [block for block in blocks("bash") if block.startswith("curl")]
    assert len(lines) == 3
    token = ""
    answers: list[Any] = []
    for line in lines:
        text = here(line, api).replace("YOUR_TOKEN_HERE", token).replace("curl", "curl -s", 1)
        answers.append(json.loads(run(["bash", "-c", text])))
        assert answers[-1]["success"] is True, answers[-1]
        token = token or answers[-1]["data"]["access_token"]
    assert answers[1]["data"]["email"] == "admin@example.com"
    assert answers[2]["data"]["status"] == "pending"


def test_the_python_script_works_as_printed(api: LiveApi) -> None:
    (script,) = blocks("python")
    # `requests` is not among our dependencies; httpx answers to the same calls
    script = here(script, api).replace("import requests", "import httpx as requests")
    printed = run([sys.executable, "-X", "utf8", "-c", script])
    assert "Token: ey" in printed
    assert '"email": "admin@example.com"' in printed
    assert '"title": "测试任务"' in printed


def test_the_postman_collections_request_works(api: LiveApi) -> None:
    collection = next(
        found
        for block in blocks("json")
        if "item" in (found := json.loads(block)) and "variable" in found
    )
    request = collection["item"][0]["item"][0]["request"]
    url = request["url"]["raw"].replace("{{baseUrl}}", f"{api.url}/api")
    headers = {header["key"]: header["value"] for header in request["header"]}
    with api.client() as client:
        answer = client.request(
            request["method"], url, headers=headers, content=request["body"]["raw"]
        )
    assert answer.status_code == 200
    assert answer.json()["data"]["token_type"] == "bearer"
