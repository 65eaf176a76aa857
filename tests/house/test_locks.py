"""What is installed is what was resolved: pinned, hashed, named once and from no fixed host."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.tree import ROOT

LEVELS = ("run", "test", "bench")
PIN = re.compile(r"^([a-z0-9-]+)(?:\[.*\])?==(\S+)(?: ;.*)? \\$", re.MULTILINE)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
# builds the editable install; named in [build-system] rather than among the dependencies
BUILDER = "hatchling>=1.27"


def lock(level: str) -> str:
    return (ROOT / "requirements" / f"{level}.txt").read_text(encoding="utf-8")


def pins(level: str) -> list[tuple[str, str]]:
    return PIN.findall(lock(level))


def wishes(level: str) -> set[str]:
    text = (ROOT / "requirements" / f"{level}.in").read_text(encoding="utf-8")
    lines = [line.strip() for line in text.splitlines()]
    return {str(Requirement(line)) for line in lines if line and line[0] not in "#-"}


def declared(*groups: list[str]) -> set[str]:
    return {str(Requirement(line)) for group in groups for line in group}


@pytest.mark.parametrize("level", LEVELS)
def test_a_lock_names_no_host(level: str) -> None:
    # so that the person who installs decides where packages come from
    assert "://" not in lock(level)
    assert not re.search(r"index|find-links|trusted", lock(level), re.IGNORECASE)


@pytest.mark.parametrize("level", LEVELS)
def test_every_line_of_a_lock_is_a_pin_with_a_hash(level: str) -> None:
    entries = re.split(r"\n(?=\S)", lock(level).strip())
    assert len(entries) == len(pins(level)) > 0
    assert all("--hash=sha256:" in entry for entry in entries)


def test_each_lock_holds_all_of_the_one_before_it() -> None:
    # an environment may serve `up` and `test` in turn without installing anything twice
    assert set(pins("run")) <= set(pins("test")) <= set(pins("bench"))


@pytest.mark.parametrize("level", LEVELS)
def test_each_wish_is_answered_by_its_lock(level: str) -> None:
    locked = {name for name, _ in pins(level)}
    assert {canonicalize_name(Requirement(wish).name) for wish in wishes(level)} <= locked


def test_pyproject_and_the_lists_to_lock_say_the_same() -> None:
    run = [PROJECT["dependencies"], EXTRAS["server"], EXTRAS["agent"], EXTRAS["embedded"]]
    assert wishes("run") == declared(*run, [BUILDER])
    assert wishes("test") == declared(EXTRAS["test"])
    assert wishes("bench") == declared(EXTRAS["bench"])


def test_every_dependency_has_a_line_that_says_why() -> None:
    record = (ROOT / "docs/decisions/0008-dependencies.md").read_text(encoding="utf-8").lower()
    named = {Requirement(wish).name for level in LEVELS for wish in wishes(level)}
    missing = {name for name in named if f"`{name.lower()}`" not in record}
    assert missing == set()
