"""What a newcomer meets: wrong files, Ctrl-C, long titles in a pipe, being told to wait."""

import fcntl
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar
from uuid import UUID

import pytest

from api.programs.local_farm import farm_told
from tests.api.live import LiveApi, Person
from tests.client.owl import Owl
from tests.client.played_farm import PlayedFarm
from tests.client.test_commands import wait_until


@pytest.fixture
def owl(api: LiveApi, user: Person, tmp_path: Path) -> Owl:
    return Owl(api.url, tmp_path / "user").log_in(user)


def test_a_video_that_is_not_there_is_said_before_anything_is_ordered(
    owl: Owl, tmp_path: Path
) -> None:
    wrong = owl("tasks", "submit", "video_analysis", "--file", str(tmp_path / "nosuch.mp4"))
    assert wrong.exit_code == 2
    assert "nosuch.mp4 is no file here" in wrong.stderr
    assert owl.json("tasks", "list")["items"] == []


def test_a_video_that_the_farm_here_may_not_read_is_told_where_to_lie(
    api: LiveApi, user: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The farm of an ``owl up`` in the data directory says which directories it reads."""
    here, media, elsewhere = (tmp_path / name for name in (".owl", "media", "elsewhere"))
    for directory in (here, media, elsewhere):
        directory.mkdir()
        (directory / "clip.mp4").write_bytes(b"-")
    monkeypatch.setenv("OWL_DATA_DIR", str(here))
    owl = Owl(api.url, tmp_path / "user").log_in(user)
    submit = ("tasks", "submit", "video_analysis", "--file")
    with farm_told(here, f"{api.url}/api", (media,)):
        left_behind = (here / "farm.json").read_bytes()
        wrong = owl(*submit, str(elsewhere / "clip.mp4"))
        well = owl(*submit, str(media / "clip.mp4"))
    assert wrong.exit_code == 2
    for wanted in (
        f"copy it into {media} and submit it from there",
        "stop `owl up` with Ctrl-C and start it again as before",
        f"with `--media-dir {elsewhere}` added",
    ):
        assert wanted in " ".join(wrong.stderr.split())
    assert not (here / "farm.json").exists()
    with farm_told(here, "http://localhost:1/api", (media,)):
        another_farm = owl(*submit, str(elsewhere / "clip.mp4"))
    (here / "farm.json").write_bytes(left_behind)
    killed = owl(*submit, str(elsewhere / "clip.mp4"))
    for asked in (well, another_farm, killed):
        assert "(INSUFFICIENT_BALANCE)" in asked.stderr, "the API was asked"


def test_a_farm_is_told_to_its_own_user_and_waits_for_nobody_who_reads(tmp_path: Path) -> None:
    told = tmp_path / "farm.json"
    told.write_bytes(b"of one that was killed")
    with told.open("rb") as reading:
        fcntl.flock(reading, fcntl.LOCK_SH)
        with farm_told(tmp_path, "http://localhost:1/api", ()):
            assert b"localhost" in told.read_bytes()
            assert stat.S_IMODE(told.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_cut_where_no_terminal_is(owl: Owl) -> None:
    title = "a very long title " * 11
    owl.ok("tasks", "submit", "test", "--title", title.strip())
    assert title.strip() in owl.ok("tasks", "list")


def test_the_log_tells_how_far_and_how_much_and_a_task_its_server_by_name(
    owl: Owl, farm: PlayedFarm
) -> None:
    task_id = UUID(owl.json("tasks", "submit", "test")["id"])
    farm.start(task_id)
    for percent in (46.5, 48.0, 60.0, 62.5):
        farm.advance(task_id, percent)
    farm.complete(task_id)
    wait_until(lambda: "Task completed" in owl.ok("tasks", "logs", str(task_id)))
    lines = owl.ok("tasks", "logs", str(task_id)).splitlines()
    told = [line.partition(" • ")[2] for line in lines if "progressed" in line]
    assert told == [
        "Task progressed: 45.5 % measuring frames",
        "Task progressed: 60.0 % measuring frames",
    ], "recorded coarsely"
    assert "Money set aside: ¥0.00" in "\n".join(lines)
    assert lines == sorted(lines, key=lambda line: line[:19]), "the oldest first"
    assert "GPU-Server-01" in owl.ok("tasks", "show", str(task_id))


def test_a_variable_that_nobody_knows_is_named_by_commands_that_ask_the_api_too(
    owl: Owl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWL_API_TOKNE", "x")
    wrong = owl("me")
    assert wrong.exit_code == 2
    assert "unknown setting OWL_API_TOKNE: OWL_API_TOKEN?" in wrong.stderr


@contextmanager
def refusing(status: int, code: str) -> Iterator[str]:
    """An API that refuses everything and says when to ask again."""

    class Refusal(BaseHTTPRequestHandler):
        said: ClassVar[bytes] = (
            b'{"success":false,"message":"Not now","error_code":"%b","details":{}}'
            % code.encode()
        )

        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Retry-After", "90")
            self.send_header("Content-Length", str(len(self.said)))
            self.end_headers()
            self.wfile.write(self.said)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Refusal) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [(429, "RATE_LIMITED", 1), (503, "SERVER_UNAVAILABLE", 3)],
)
def test_who_is_told_to_wait_is_told_how_long(
    tmp_path: Path, status: int, code: str, exit_code: int
) -> None:
    with refusing(status, code) as api_url:
        refused = Owl(api_url, tmp_path)("me")
        in_chinese = Owl(api_url, tmp_path)("me", "--language", "zh")
    assert refused.exit_code == exit_code
    assert in_chinese.stderr.endswith("\n  请在 90 秒后重试\n")
    assert refused.stderr == f"Error: Not now ({code})\n  try again in 90 s\n"


@pytest.mark.parametrize(
    "arguments",
    [("gpu", "top", "--every", "60"), ("tasks", "logs", "--follow")],
)
def test_ctrl_c_is_quiet(
    api: LiveApi,
    user: Person,
    owl: Owl,
    tmp_path: Path,
    arguments: tuple[str, ...],
) -> None:
    task = owl.json("tasks", "submit", "test")["id"]
    words = [*arguments, *((task,) if arguments[0] == "tasks" else ())]
    mine = {"OWL_API_URL": api.url, "OWL_API_TOKEN": user.token}
    mine |= {"XDG_CONFIG_HOME": str(tmp_path)}
    pty, terminal = os.openpty()
    # a suite that runs in the background ignores Ctrl-C, and so would whatever it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    program = subprocess.Popen(
        [sys.executable, "-m", "api.cli", *words],
        env=os.environ
        | {
            "OWL_API_URL": api.url,
            "OWL_API_TOKEN": user.token,
            "XDG_CONFIG_HOME": str(tmp_path),
        },
        stdout=terminal,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(terminal)
    shown = b""
    end = time.monotonic() + 30
    while b"online" not in shown and b"Task created" not in shown:
        assert time.monotonic() < end, shown
        shown += os.read(pty, 4096)
    program.send_signal(signal.SIGINT)
    _, complaint = program.communicate(timeout=30)
    os.close(pty)
    assert (program.returncode, complaint) == (130, "")
