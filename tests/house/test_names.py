"""A name says what a thing does, and a file holds one thing."""

import ast
import sys

from tests.house.tree import ROOMS, ROOT, files, parsed, shown

SAY_NOTHING = {
    *("utils", "util", "helpers", "helper", "common", "misc", "base", "core", "types"),
    *("manager", "managers", "service", "services", "models", "enums", "constants"),
}
EMPTY_ENDINGS = ("Manager", "Helper", "Service", "Util", "Utils", "Impl")
LONGEST = 300
EXCUSE = "Long because"


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    bad = [
        shown(path)
        for path in files(*ROOMS, "tests", ending=".py")
        if {path.stem, *path.relative_to(ROOT).parts[:-1]} & SAY_NOTHING
    ]
    assert bad == []


def test_no_class_has_an_ending_that_says_nothing() -> None:
    bad = [
        f"{shown(path)}: {node.name}"
        for path in files(*ROOMS, ending=".py")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef) and node.name.endswith(EMPTY_ENDINGS)
    ]
    assert bad == []


def test_a_file_stays_under_300_lines_or_says_at_its_top_why_not() -> None:
    bad = []
    for path in files(*ROOMS, "tests", "benchmarks", ending=".py"):
        length = len(path.read_text(encoding="utf-8").splitlines())
        if length > LONGEST and EXCUSE not in (ast.get_docstring(parsed(path)) or ""):
            bad.append(f"{shown(path)}: {length} lines, and no '{EXCUSE} …' in its docstring")
    assert bad == []


def test_no_room_is_named_after_a_module_of_the_standard_library() -> None:
    assert not set(ROOMS) & sys.stdlib_module_names
