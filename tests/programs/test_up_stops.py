"""`owl up` that is stopped while a task runs, and started twice: what a person is told."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from api.programs.up import DEMO
from api.registration import DEV_ADMIN_EMAIL, DEV_ADMIN_PASSWORD
from tests.stack import data_directory

WITHIN_S = 90


@contextmanager
def up(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The platform, running; and the address of its API."""
    environment = {name: text for name, text in os.environ.items() if name[:4] != "OWL_"}
    page = data_dir / "page.txt"
    with (
        page.open("w") as file,
        subprocess.Popen(
            [sys.executable, "-m", "api.cli", "up", "--no-demo", "--data-dir", str(data_dir)],
            env=environment | {"OWL_PORT": "0"},
            stdout=file,
            stderr=file,
            text=True,
        ) as program,
    ):
        try:
            wait_for(lambda: "Ctrl-C stops everything" in page.read_text(), page)
            found = re.search(r"http://localhost:\d+/api", page.read_text())
            assert found is not None
            yield program, found[0]
        finally:
            program.send_signal(signal.SIGINT)
            program.wait(WITHIN_S)


def wait_for(condition: Any, page: Path) -> None:
    end = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < end, page.read_text()
        time.sleep(0.1)


@contextmanager
def user(api_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api_url, trust_env=False, timeout=30) as client:
        who = {"email": DEMO.email, "password": DEMO.password}
        client.post("/auth/register", json={**who, "username": "demo", "full_name": "Demo"})
        token = client.post("/auth/login", json=who).json()["data"]["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def test_stopping_says_what_becomes_of_a_task_and_the_next_start_runs_it_again() -> None:
    with data_directory() as data_dir:
        page = data_dir / "page.txt"
        with up(data_dir) as (program, api_url), user(api_url) as client:
            order = {"title": "long", "task_type": "test", "config": {"seconds": 600}}
            task_id = client.post("/tasks", json=order).json()["data"]["id"]

            def status() -> Any:
                return client.get(f"/tasks/{task_id}").json()["data"]["status"]

            wait_for(lambda: status() == "running", page)
            second = subprocess.run(
                [sys.executable, "-m", "api.cli", "up", "--data-dir", str(data_dir)],
                capture_output=True,
                text=True,
                timeout=WITHIN_S,
                check=False,
            )
            assert second.returncode == 1
            assert f"already runs here: process {program.pid} owns" in second.stderr
            assert "port" not in second.stdout + second.stderr
            known = {"email": DEV_ADMIN_EMAIL, "password": DEV_ADMIN_PASSWORD}
            token = client.post("/auth/login", json=known).json()["data"]["access_token"]
            changed = client.post(
                "/users/change-password",
                json={"current_password": DEV_ADMIN_PASSWORD, "new_password": "another-one"},
                headers={"Authorization": f"Bearer {token}"},
            )
            assert changed.is_success, "and the next start asks nobody for it"
        assert program.returncode == 0
        said = page.read_text()
        assert "tasks that run (1) have 10 s to end" in said
        assert "runs at the next start" in said
        with up(data_dir) as (_, api_url), user(api_url) as client:

            def attempt() -> Any:
                task = client.get(f"/tasks/{task_id}").json()["data"]
                return task["attempt"], task["status"], task["cost"]

            wait_for(lambda: attempt() == (2, "running", 0), page)
            client.post(f"/tasks/{task_id}/cancel")
            wait_for(lambda: attempt()[1] == "cancelled", page)
