"""The import contracts of pyproject.toml catch what they are there for, each shown a breach."""

import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.house.tree import ROOMS, ROOT

LINTER = Path(sysconfig.get_path("scripts")) / "lint-imports"
BREACHES = {
    "domain/late.py": ("import time", "domain is pure"),
    "domain/wired.py": ("import psycopg", "domain is pure"),
    "domain/upward.py": ("import commands", "the rooms stand in layers"),
    "commands/sideways.py": ("import projections", "the rooms stand in layers"),
    "projections/sideways.py": ("import commands", "the rooms stand in layers"),
    "api/hosting.py": ("import gpu_agent", "the server never imports the agent"),
    "gpu_agent/reaching.py": ("import psycopg", "the agent knows no database"),
    "api/routes/thick.py": ("import psycopg", "routes are thin"),
    "api/routes/chatty.py": ("import api.routes.quiet", "routes are independent"),
    "api/client/peeking.py": ("import domain", "the client knows only the published"),
    "commands/storing.py": ("import eventsourcing", "one owner of the log"),
    "projections/listening.py": ("import nats", "read models speak SQL only"),
}


def judge(tree: Path) -> str:
    """What the linter says of the rooms at ``tree``, under the contracts of our pyproject."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (tree / "pyproject.toml").write_text(text, encoding="utf-8")
    command = [str(LINTER), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=tree, check=False, capture_output=True, text=True)
    return " ".join(done.stdout.split())


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """Five empty rooms in which only the right room uses the library."""
    for package in (*ROOMS, "api/client", "api/routes", "commands/event_log"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "api/routes/quiet.py").touch()
    (tmp_path / "commands/event_log/recorder.py").write_text("import eventsourcing\n")
    return tmp_path


def test_rooms_that_keep_the_law_pass(rooms: Path) -> None:
    said = judge(rooms)
    assert " 0 broken" in said
    assert "BROKEN" not in said


@pytest.mark.parametrize(("place", "breach"), BREACHES.items(), ids=BREACHES)
def test_a_planted_breach_is_caught(rooms: Path, place: str, breach: tuple[str, str]) -> None:
    statement, contract = breach
    (rooms / place).write_text(statement + "\n", encoding="utf-8")
    broken = judge(rooms).partition("Broken contracts")[2]
    assert contract in broken
