"""The five import names are common words, so nothing else may come to own or shadow them."""

import importlib
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.house.tree import ROOMS, ROOT, files, shown

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return zipfile.Path(next(folder.glob("*.whl")))


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_that_python_imports_is_the_one_in_this_tree(room: str) -> None:
    found = importlib.import_module(room).__file__
    assert found is not None
    assert Path(found) == ROOT / room / "__init__.py"


@pytest.mark.parametrize("room", ROOMS)
def test_no_other_distribution_owns_a_room_s_name(room: str) -> None:
    assert set(packages_distributions().get(room, ())) <= {"owl-factory"}


def test_a_wheel_holds_the_five_rooms_and_nothing_else(wheel: zipfile.Path) -> None:
    tops = {entry.name for entry in wheel.iterdir()}
    assert tops == {*ROOMS, f"owl_factory-{PROJECT['version']}.dist-info"}


def test_a_wheel_carries_every_file_that_is_not_python(wheel: zipfile.Path) -> None:
    held = set(wheel.root.namelist())
    for ending in (".sql", ".html", ".css", ".js", ".typed"):
        for path in files(*ROOMS, ending=ending):
            assert shown(path) in held


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_is_typed_and_states_its_law(room: str) -> None:
    assert (ROOT / room / "py.typed").exists()
    assert "Law:" in (ROOT / room / "__init__.py").read_text(encoding="utf-8")


def test_every_folder_of_python_is_a_package() -> None:
    # without it, pytest would put tests/ on the path, and `import domain` find tests/domain
    folders = {path.parent for path in files(*ROOMS, "tests", ending=".py")}
    bare = [shown(folder) for folder in folders if not (folder / "__init__.py").exists()]
    assert bare == []
