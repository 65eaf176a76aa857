"""``owl-agent doctor`` says what is missing on a host, and what to do about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from click.testing import CliRunner

from gpu_agent.__main__ import main
from gpu_agent.enrolment import IDENTITY_FILE, Identity, new_seed


def findings(*arguments: str) -> tuple[int, dict[str, tuple[str, str]]]:
    done = CliRunner().invoke(main, ["doctor", "--json", *arguments])
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return done.exit_code, {each["about"]: (each["verdict"], each["says"]) for each in found}


def enrolled(state: Path, *nats_urls: str) -> Identity:
    identity = Identity(
        server_id=uuid4(), name="rack-1", seed=new_seed(bytes(32)), nats_urls=nats_urls
    )
    (state / IDENTITY_FILE).write_bytes(msgspec.json.encode(identity))
    return identity


def test_a_fresh_host_is_told_how_it_gets_an_identity(tmp_path: Path) -> None:
    code, found = findings("--state-dir", str(tmp_path / "none"))
    assert code == 1
    verdict, says = found["identity"]
    assert verdict == "bad"
    assert "owl gpu enroll" in says
    assert found["platform"][0] == "bad", "there is nowhere to enrol"
    assert found["media"] == (
        "note",
        "no --media-dir: tasks that name a file: go to other servers",
    )
    assert "video_analysis" in found["executors"][1]
    assert not (tmp_path / "none").exists(), "it changes nothing"


def test_beside_an_owl_up_it_looks_at_the_agent_that_runs_there(
    tmp_path: Path, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OWL_DATA_DIR", raising=False)
    theirs = tmp_path / ".owl" / "agent"
    theirs.mkdir(parents=True)
    identity = enrolled(theirs, nats_url)
    code, found = findings()
    assert code == 0, found
    assert found["identity"] == (
        "ok",
        f"rack-1 ({identity.server_id}), the agent of the `owl up` here ({theirs})",
    )
    assert found["media"] == ("ok", "those that `owl up` was started with")
    enrolled(theirs, "nats://127.0.0.1:1")
    verdict, says = findings()[1]["broker"]
    assert (verdict, says.partition("; ")[2]) == ("bad", "it runs while `owl up` does")
    monkeypatch.setenv("OWL_DATA_DIR", str(tmp_path / "elsewhere"))
    assert findings()[1]["identity"][0] == "bad", "nothing runs there"
    assert "owl up" not in str(findings("--state-dir", str(theirs)))


def test_a_broker_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    identity = enrolled(tmp_path, "nats://owl:hush-hush@127.0.0.1:1")
    code, found = findings("--state-dir", str(tmp_path))
    assert code == 1
    assert found["identity"] == ("ok", f"rack-1 ({identity.server_id})")
    verdict, says = found["broker"]
    assert verdict == "bad"
    assert says.startswith("127.0.0.1:1: [Errno")
    assert "hush" not in str(found)


def test_a_host_on_which_all_is_well_says_so(tmp_path: Path, nats_url: str) -> None:
    enrolled(tmp_path, nats_url)
    code, found = findings("--state-dir", str(tmp_path), "--media-dir", str(tmp_path))
    assert found["broker"][0] == "ok"
    assert found["media"] == ("ok", str(tmp_path))
    assert code == 0, found


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[::bad"])
def test_a_platform_out_of_reach_stands_in_the_way_of_who_is_not_enrolled(
    tmp_path: Path, url: str
) -> None:
    _, found = findings("--state-dir", str(tmp_path), "--api-url", url)
    assert found["platform"][0] == "bad"
    enrolled(tmp_path)
    _, found = findings("--state-dir", str(tmp_path), "--api-url", url)
    assert found["platform"][0] == "note"


def test_a_person_reads_one_line_each(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["doctor", "--state-dir", str(tmp_path)])
    assert done.exit_code == 1
    assert "✗ identity: " in done.output
    assert "something is missing: see the lines marked ✗" in done.output
