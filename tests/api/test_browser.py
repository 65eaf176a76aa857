"""``/docs`` as people see it, in a real browser that reaches nothing but this server.

Skipped where the machine has no Chromium; ``test_documents`` holds everywhere that the pages
name no other server, that each of their files is served, and that the document is true.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from api.app import bare_application
from api.openapi import operations_of
from tests.api.live import LiveApi

CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
        if (found := shutil.which(name))
    ),
    None,
)
ALONE = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-proxy-server"),
    *("--disable-default-apps", "--disable-domain-reliability", "--metrics-recording-only"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
PATIENCE_MS = 20_000

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="this machine has no Chromium")


class Seen(NamedTuple):
    """The page after its scripts ran, what they complained of, and what it asked for.

    What the browser asks for on its own account does not count, and reaches nobody.
    """

    page: str
    complaints: list[str]
    addresses: set[str]


def seen(url: str, directory: Path) -> Seen:
    net_log = directory / "net-log.json"
    options = (
        *(*ALONE, f"--user-data-dir={directory / 'profile'}", f"--log-net-log={net_log}"),
        *("--enable-logging=stderr", f"--virtual-time-budget={PATIENCE_MS}", "--dump-dom"),
    )
    ended = subprocess.run(
        [str(CHROMIUM), *options, url], capture_output=True, text=True, timeout=90, check=True
    )
    complaints = [line for line in ended.stderr.splitlines() if "CONSOLE" in line]
    log = json.loads(net_log.read_text(encoding="utf-8"))
    begins = log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    addresses = {
        event["params"]["url"]
        for event in log["events"]
        if event["type"] == begins
        and event.get("params", {}).get("initiator") == url.removesuffix("/docs")
    }
    return Seen(ended.stdout, complaints, addresses)


def test_the_page_shows_every_operation_and_asks_nobody_else(
    api: LiveApi, tmp_path: Path
) -> None:
    page = seen(f"{api.url}/docs", tmp_path)
    assert page.complaints == []
    assert {f"{api.url}/openapi.json", f"{api.url}/docs/start.js"} <= page.addresses
    elsewhere = {each for each in page.addresses if not each.startswith((api.url, "data:"))}
    assert elsewhere == set()
    shown = re.findall(r'<div class="opblock opblock-(\w+)[^"]*" id="([^"]+)"', page.page)
    operations = list(operations_of(bare_application()))
    assert len(shown) == len(operations)
    assert sorted(method for method, _ in shown) == sorted(each.method for each in operations)
    assert "猫头鹰工厂" in page.page
    assert "Authorize" in page.page
