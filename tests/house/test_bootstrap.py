"""`dev.py` is the first thing a person runs: it must start anywhere and say what it needs."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.house.tree import ROOT

SCRIPT = ROOT / "dev.py"


@pytest.fixture
def dev() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dev", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)


def test_it_imports_nothing_but_the_standard_library() -> None:
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    names = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names <= sys.stdlib_module_names


def test_an_old_python_can_still_read_it() -> None:
    ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 7))


def test_an_old_python_alone_on_a_machine_is_told_what_to_install(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev.shutil, "which", lambda _: None)
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer"):
        dev.find_newer_python()


def test_help_names_every_command(dev: ModuleType) -> None:
    told = run("--help")
    assert told.returncode == 0
    assert all(f"\n  {name} " in told.stdout for name in dev.COMMANDS)


@pytest.mark.parametrize("stamp", [{}, {"run": "an older lock", "test": "", "bench": ""}])
def test_help_of_a_command_is_there_at_once_whatever_is_installed(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stamp: dict[str, str]
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(dev, "STAMP", tmp_path / "stamp.json")
    monkeypatch.setattr(dev, "PYTHON", tmp_path)
    monkeypatch.setattr(dev, "install_packages", pytest.fail)
    monkeypatch.setattr(dev, "make_environment", pytest.fail)
    monkeypatch.setattr(dev, "become", lambda *words: asked.append(words))
    dev.write_stamp(stamp)
    for name in dev.COMMANDS:
        dev.main([name, "--help"])
    assert [words[0] for words in asked] == ["api.cli", "pytest", "pytest"] * bool(stamp)


def test_an_unknown_command_is_refused_with_the_list() -> None:
    told = run("tset")
    assert told.returncode == 1
    assert "no command is called tset" in told.stderr
    assert "usage:" in told.stderr


def test_another_environment_s_variables_do_not_reach_ours(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", "/elsewhere")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere/lib")
    ours = dev.environment()
    assert ours["VIRTUAL_ENV"] == str(ROOT / ".venv")
    assert ours["PATH"].startswith(str(ROOT / ".venv" / "bin"))
    assert "PYTHONPATH" not in ours


def test_a_python_without_ensurepip_is_told_what_to_install(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: subprocess.CompletedProcess[str] = subprocess.CompletedProcess([], returncode=1)
    monkeypatch.setattr(dev.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        dev.make_environment()


def test_a_set_up_that_was_interrupted_reads_as_not_done(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dev, "STAMP", tmp_path / "stamp.json")
    assert dev.read_stamp() == {}
    dev.STAMP.write_text('{"run": "4f', encoding="utf-8")
    assert dev.read_stamp() == {}
    dev.write_stamp({"run": "4f"})
    assert dev.read_stamp() == {"run": "4f"}
