"""The README's example in Python does what it says, as it is printed."""

import re

import httpx
import pytest

from api.programs.up import DEMO
from tests.api.live import LiveApi
from tests.house.tree import ROOT

EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_python_example_runs(api: LiveApi, capsys: pytest.CaptureFixture[str]) -> None:
    account = {"email": DEMO.email, "password": DEMO.password, "username": "demo"}
    httpx.post(f"{api.url}/api/auth/register", json=account, trust_env=False)
    (example,) = EXAMPLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert example.count("http://localhost:8000") == 1
    exec(example.replace("http://localhost:8000", api.url), {})
    assert capsys.readouterr().out == "pending\n"
