"""The README's examples in Python and with curl do what they say, as they are printed."""

import json
import os
import re
import shutil
import subprocess

import httpx
import pytest

from api.demo.main_job import TOP_UP_YUAN
from api.programs.up import DEMO
from domain.system.configuration import Configuration
from tests.api.live import LiveApi
from tests.house.tree import ROOT

ORIGIN = "http://localhost:8000"
UNNAMED = "TOKEN=..."
README = (ROOT / "README.md").read_text(encoding="utf-8")


def example(language: str, *, with_: str) -> str:
    """The one example of a language that has this in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (found,) = (block for block in blocks if with_ in block)
    return str(found)


@pytest.fixture(scope="module", autouse=True)
def _demo(api: LiveApi) -> None:
    """The user that ``owl up`` makes."""
    account = {"email": DEMO.email, "password": DEMO.password, "username": "demo"}
    answer = httpx.post(f"{api.url}/api/auth/register", json=account, trust_env=False)
    assert answer.is_success, answer.text


def test_the_python_example_runs(api: LiveApi, capsys: pytest.CaptureFixture[str]) -> None:
    code = example("python", with_=ORIGIN)
    assert code.count(ORIGIN) == 1
    exec(code.replace(ORIGIN, api.url), {})
    assert capsys.readouterr().out == "pending\n"


def test_the_video_of_the_first_minutes_can_be_paid_by_what_the_demonstration_leaves() -> None:
    """Its hold, that is: the price of all the minutes that are estimated."""
    (line,) = re.findall(r"^owl tasks submit video_analysis .*$", README, re.MULTILINE)
    (minutes,) = re.findall(r"--estimate (\d+)", line) or ["10"]
    held_fen = int(minutes) * Configuration().prices_fen_per_minute["video_analysis"]
    assert held_fen <= 100 * TOP_UP_YUAN / 2
    assert "gives back" in README, "that it is a hold"


@pytest.mark.skipif(shutil.which("curl") is None, reason="this machine has no curl")
def test_the_curl_example_runs(api: LiveApi) -> None:
    login, order = example("sh", with_="curl").replace(ORIGIN, api.url).split(UNNAMED)
    token = answered(login)["access_token"]
    task = answered(f"TOKEN={token}{order}")
    assert (task["title"], task["status"]) == ("hello", "pending")
    assert answered(f"TOKEN={token}{order}") == task, "its key is there for that"


def answered(script: str) -> dict[str, str]:
    """The data that a script in the shell was answered."""
    # neither the machine's proxies nor anybody's .curlrc
    environment = {"PATH": os.environ["PATH"], "NO_PROXY": "*", "CURL_HOME": os.devnull}
    ended = subprocess.run(
        ["sh", "-eu", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answer = json.loads(ended.stdout)
    assert answer["success"], answer
    data: dict[str, str] = answer["data"]
    return data
