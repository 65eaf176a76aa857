"""An agent's identity: made here, spent once, kept secret."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import nkeys
import pytest
from click import ClickException
from click.testing import CliRunner

from gpu_agent.__main__ import main
from gpu_agent.enrolment import (
    IDENTITY_FILE,
    EnrolmentRefused,
    NotEnrolled,
    enrol,
    load_identity,
    new_seed,
    public_key_of,
)

SERVER_ID = UUID(int=7)
GIVEN: dict[str, Any] = {
    "success": True,
    "message": "ok",
    "data": {
        "server_id": str(SERVER_ID),
        "name": "rack-1",
        "max_concurrent_tasks": 2,
        "nats_urls": ["nats://broker:4222"],
    },
}
ROOT = Path(__file__).parents[2]


@contextmanager
def platform(answer: tuple[int, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An API that answers every enrolment alike, and what it was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append({"path": self.path} | json.loads(body))
            status, content = answer
            self.send_response(status)
            self.end_headers()
            self.wfile.write(
                content if isinstance(content, bytes) else json.dumps(content).encode()
            )

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_token_buys_an_identity_whose_seed_stays_here(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with platform((200, GIVEN)) as (url, asked):
        identity = enrol(url + "/", "a-token", state, randomness=bytes(32))
    assert identity == load_identity(state)
    assert (identity.server_id, identity.name) == (SERVER_ID, "rack-1")
    assert identity.nats_urls == ("nats://broker:4222",)
    assert asked[0]["path"] == "/api/gpu/servers/enroll"
    assert asked[0]["public_key"] == identity.public_key == public_key_of(new_seed(bytes(32)))
    assert asked[0]["public_key"].startswith("U")
    assert identity.seed not in str(asked)
    assert identity.seed not in repr(identity)


@pytest.mark.parametrize("ending", ["", "/", "/api", "/api/"])
def test_the_platform_s_address_is_that_of_its_api_with_or_without_the_path(
    tmp_path: Path, ending: str
) -> None:
    with platform((200, GIVEN)) as (url, asked):
        enrol(url + ending, "a-token", tmp_path, randomness=bytes(32))
    assert asked[0]["path"] == "/api/gpu/servers/enroll"


def test_only_the_owner_can_read_the_identity(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with platform((200, GIVEN)) as (url, _):
        enrol(url, "a-token", state, randomness=bytes(32))
    assert stat.S_IMODE((state / IDENTITY_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert [path.name for path in state.iterdir()] == [IDENTITY_FILE]


def test_a_lost_answer_does_not_lose_the_key(tmp_path: Path) -> None:
    with platform((200, b"cut off")) as (url, first), pytest.raises(EnrolmentRefused):
        enrol(url, "a-token", tmp_path, randomness=bytes(32))
    with platform((200, GIVEN)) as (url, second):
        enrol(url, "a-token", tmp_path, randomness=bytes(range(32)))
    assert first[0]["public_key"] == second[0]["public_key"]


@pytest.mark.parametrize(
    ("answer", "text", "may_pass"),
    [
        ((401, {"success": False, "message": "令牌无效"}), "令牌无效", False),
        ((503, {"success": False, "message": "busy"}), "busy", True),
        ((200, b"<html>"), "does not answer like a platform", False),
        ((200, {"success": True, "data": {}}), "does not answer like a platform", False),
        ((404, {}), "answered 404", False),
    ],
)
def test_a_refusal_says_the_platforms_words(
    tmp_path: Path, answer: tuple[int, Any], text: str, *, may_pass: bool
) -> None:
    with platform(answer) as (url, _), pytest.raises(EnrolmentRefused, match=text) as refused:
        enrol(url, "a-token", tmp_path, randomness=bytes(32))
    assert refused.value.may_pass is may_pass
    with pytest.raises(NotEnrolled):
        load_identity(tmp_path)


def test_a_spent_token_is_answered_with_what_to_do(tmp_path: Path) -> None:
    spent = (401, {"success": False, "message": "The enrolment token is used"})
    with platform(spent) as (url, _), pytest.raises(EnrolmentRefused) as refused:
        enrol(url, "a-token", tmp_path, randomness=bytes(32))
    assert str(refused.value).startswith("The enrolment token is used. ")
    assert "administrator run `owl gpu enroll NAME`" in str(refused.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "http://[::bad"])
def test_a_platform_out_of_reach_is_said_in_a_sentence(tmp_path: Path, url: str) -> None:
    with pytest.raises(EnrolmentRefused, match="cannot be reached"):
        enrol(url, "a-token", tmp_path, randomness=bytes(32))


def test_the_sign_in_token_is_signed_by_the_enrolled_key_and_short_lived(
    tmp_path: Path,
) -> None:
    with platform((200, GIVEN)) as (url, _):
        identity = enrol(url, "a-token", tmp_path, randomness=bytes(32))
    version, server_id, expires, signature = identity.token(1_000_000.7).split(".")
    assert (version, server_id, int(expires)) == ("owl1", str(SERVER_ID), 1_000_060)
    signed = f"owl1.{server_id}.{expires}".encode()
    raw = base64.urlsafe_b64decode(signature + "==")
    public = nkeys.from_seed(bytearray(identity.seed, "ascii"))
    assert public.verify(signed, raw)
    with pytest.raises(nkeys.ErrInvalidSignature):
        public.verify(signed + b"0", raw)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"server_id":"x"}'])
def test_a_damaged_identity_is_said_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / IDENTITY_FILE).write_bytes(content)
    with pytest.raises(NotEnrolled, match="damaged"):
        load_identity(tmp_path)


Invoke = Callable[..., Any]


@pytest.fixture
def invoke(tmp_path: Path) -> Invoke:
    def invoked(*arguments: str, **environment: str) -> Any:
        state = ["--state-dir", str(tmp_path / "state")]
        return CliRunner().invoke(main, [*arguments, *state], env=environment)

    return invoked


def test_enroll_takes_the_token_from_a_file_and_answers_json(
    invoke: Invoke, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    with platform((200, GIVEN)) as (url, asked):
        done = invoke(
            "enroll", "--json", "--api-url", url, OWL_AGENT_TOKEN_FILE=str(tmp_path / "token")
        )
    assert done.exit_code == 0
    assert json.loads(done.output)["server_id"] == str(SERVER_ID)
    assert asked[0]["token"] == "from-a-file"
    assert "seed" not in done.output


@pytest.mark.parametrize("enrolled_before", [False, True])
def test_a_token_is_gone_from_the_environment_once_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, enrolled_before: bool
) -> None:
    monkeypatch.setenv("OWL_AGENT_TOKEN", "canary")
    given = {**GIVEN, "data": {**GIVEN["data"], "nats_urls": []}}
    with platform((200, given)) as (url, asked):
        if enrolled_before:
            enrol(url, "another", tmp_path, randomness=bytes(32))
        with pytest.raises(ClickException, match="no broker"):
            main(["run", "--state-dir", str(tmp_path), "--api-url", url], standalone_mode=False)
    assert [body["token"] for body in asked] == ["another" if enrolled_before else "canary"]
    assert "OWL_AGENT_TOKEN" not in os.environ


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["run"], {}, "owl-agent enroll"),
        (["run"], {"OWL_AGENT_TOKEN": "t"}, "--api-url"),
        (["enroll"], {"OWL_AGENT_TOKEN": "t"}, "--api-url"),
        (["run"], {"OWL_AGENT_TOKEN_FILE": "/none"}, "OWL_AGENT_TOKEN_FILE"),
        (["run", "--allow-network", "10.0.0.0/99"], {}, "allow-network"),
        (["run", "--media-dir", "/none"], {}, "media-dir"),
        (["run", "--simulate-gpus", "-1"], {}, "simulate-gpus"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(
    invoke: Invoke, arguments: list[str], environment: dict[str, str], says: str
) -> None:
    done = invoke(*arguments, **environment)
    assert done.exit_code != 0
    assert says in done.output
    assert "Traceback" not in done.output


def test_probe_says_what_it_sees_of_this_host() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "gpu_agent", "probe", "--json"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    seen = json.loads(told.stdout)
    assert {"test", "video_analysis"} <= set(seen["task_types"])
    assert seen["sandbox"] in {"bubblewrap", "none"}
    assert seen["gpus"]["gpus"] or seen["gpus"]["fault"]
