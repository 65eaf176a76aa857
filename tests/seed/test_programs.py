"""The printed programs: the curl lines, the Python script and the Postman collection, run."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.seed.document import Sample, one
from tests.seed.world import World

PROGRAMS = {
    ("bash", "登录获取Token"),
    ("bash", "获取用户信息"),
    ("bash", "创建任务"),
    ("python", "使用Python测试"),
    ("json", "Postman集合"),
}
PRINTED_HOST = "http://localhost:8000"
PRINTED_TOKEN = "YOUR_TOKEN_HERE"
CURLS = [one(*program) for program in sorted(PROGRAMS) if program[0] == "bash"]


def as_run_here(world: World, sample: Sample) -> str:
    """The sample as a reader would run it: their token in its place, our port."""
    text = sample.text.replace(PRINTED_HOST, world.api.url)
    return text.replace(PRINTED_TOKEN, world.admin_token)


def run(*argv: str) -> str:
    # a proxy of the machine has no business between a test and its own server
    environment = {"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1", "PYTHONUTF8": "1"}
    ended = subprocess.run(
        argv, capture_output=True, text=True, timeout=30, env=environment, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def checked(body: dict[str, Any]) -> None:
    assert body["success"] is True
    assert body["error_code"] is None
    assert body["data"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="this machine has no curl")
@pytest.mark.parametrize("sample", CURLS, ids=lambda sample: f"line {sample.line}")
def test_a_curl_line_works_as_printed(world: World, sample: Sample) -> None:
    checked(json.loads(run("sh", "-c", as_run_here(world, sample))))


@pytest.mark.parametrize("sample", CURLS, ids=lambda sample: f"line {sample.line}")
def test_what_a_curl_line_says_works_without_curl(world: World, sample: Sample) -> None:
    program, *words = shlex.split(as_run_here(world, sample).replace("\\\n", " "))
    assert program == "curl"
    method, headers, body = "GET", {}, ""
    [url] = [word for word in words if word.startswith("http")]
    words.remove(url)
    for option, value in zip(words[::2], words[1::2], strict=True):
        match option:
            case "-X":
                method = value
            case "-H":
                name, _, text = value.partition(": ")
                headers[name] = text
            case "-d":
                body = value
            case _:
                pytest.fail(f"curl's {option} is not known here")
    with world.api.client() as client:
        checked(client.request(method, url, headers=headers, content=body.encode()).json())


def test_the_python_script_works_as_printed(world: World, tmp_path: Path) -> None:
    script = tmp_path / "sample.py"
    script.write_text(as_run_here(world, one("python", "使用Python测试")), encoding="utf-8")
    shown = run(sys.executable, str(script))
    assert shown.startswith("Token: ")
    me, task = shown.partition("用户信息: ")[2].split("创建任务: ")
    checked(json.loads(me))
    assert json.loads(me)["data"]["email"] == "admin@example.com"
    checked(json.loads(task))
    assert json.loads(task)["data"]["status"] == "pending"


def test_the_postman_collection_runs_as_printed(world: World) -> None:
    collection = json.loads(as_run_here(world, one("json", "Postman集合")))
    variables = {each["key"]: each["value"] for each in collection["variable"]}
    requests = list(requests_of(collection["item"]))
    assert requests
    with world.api.client() as client:
        for request in requests:
            body = send(client, request, variables).json()
            checked(body)
            assert body["data"]["token_type"] == "bearer"


def requests_of(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in items:
        yield from requests_of(item.get("item", []))
        if "request" in item:
            yield item["request"]


def send(
    client: httpx.Client, request: dict[str, Any], variables: dict[str, str]
) -> httpx.Response:
    """As Postman would: the variables in their places; its two ways to say an address agree."""
    address = resolved(request["url"]["raw"], variables)
    parts = [*request["url"]["host"], *request["url"]["path"]]
    assert address == resolved("/".join(parts), variables)
    assert request["body"]["mode"] == "raw"
    return client.request(
        request["method"],
        address,
        headers={header["key"]: header["value"] for header in request["header"]},
        content=resolved(request["body"]["raw"], variables).encode(),
    )


def resolved(text: str, variables: dict[str, str]) -> str:
    for name, value in variables.items():
        text = text.replace("{{" + name + "}}", value)
    return text
