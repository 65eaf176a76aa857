"""A decision gives the same facts on every replay: the domain reaches nothing outside."""

import ast
import re
import sys
from collections.abc import Iterator

import pytest

from tests.house.tree import ROOMS, files, parsed, shown

# called by name, or as the last part of a dotted name
IMPURE_CALLS = {
    *("now", "utcnow", "today", "time_ns", "monotonic", "perf_counter"),
    *("uuid1", "uuid4", "urandom", "getrandbits", "token_bytes", "token_hex"),
    *("open", "read_text", "write_text", "read_bytes", "write_bytes"),
    *("print", "input", "getenv", "exec", "eval", "__import__"),
}
# the only files that read the environment, once, at the start of a program
READERS = {
    *("api/settings.py", "api/wiring.py", "api/cli.py"),
    *("gpu_agent/settings.py", "gpu_agent/__main__.py"),
}


def impurities(tree: ast.AST) -> Iterator[str]:
    """What in this code depends on more than its arguments."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                if name in IMPURE_CALLS:
                    yield f"line {node.lineno}: {name}()"
            case ast.Attribute(attr="environ"):
                yield f"line {node.lineno}: environ"
            case ast.AsyncFunctionDef() | ast.Await() | ast.Global():
                yield f"line {node.lineno}: {type(node).__name__}"


def imports(tree: ast.AST) -> Iterator[str]:
    """The top names of everything imported."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name.split(".")[0] for alias in names)
            case ast.ImportFrom(module=str(module)):
                yield module.split(".")[0]


@pytest.mark.parametrize(
    "breach",
    [
        "at = datetime.now(UTC)",
        "key = uuid.uuid4()",
        "from uuid import uuid4; key = uuid4()",
        "with open('x') as f: pass",
        "Path('x').read_text()",
        "home = os.environ['HOME']",
        "async def f(): pass",
    ],
)
def test_the_search_for_impurity_finds_a_planted_one(breach: str) -> None:
    assert list(impurities(ast.parse(breach)))


def test_the_domain_has_no_clock_no_die_no_disk_and_does_not_wait() -> None:
    # domain/ports.py names doors, some of them async; it holds no decision
    found = [
        f"{shown(path)} {impurity}"
        for path in files("domain", ending=".py")
        if shown(path) != "domain/ports.py"
        for impurity in impurities(parsed(path))
    ]
    assert found == []


def test_the_domain_imports_the_standard_library_and_msgspec_only() -> None:
    allowed = sys.stdlib_module_names | {"msgspec", "domain"}
    strange = [
        f"{shown(path)}: {name}"
        for path in files("domain", ending=".py")
        for name in imports(parsed(path))
        if name not in allowed
    ]
    assert strange == []


def test_only_the_start_of_a_program_reads_the_environment() -> None:
    # PATH is no setting: whoever starts another program has to hand it on; and a child that
    # arranges its own environment writes
    no_reading = re.compile(
        r"""os\.environ\.get\(\s*"PATH" | os\.environ\.update\( | os\.environ\["\w+"\]\ =""",
        re.VERBOSE,
    )
    readers = set()
    for path in files(*ROOMS, ending=".py"):
        source = no_reading.sub("", path.read_text(encoding="utf-8"))
        if re.search(r"\benviron\b|\bgetenv\b", source):
            readers.add(shown(path))
    assert readers <= READERS
