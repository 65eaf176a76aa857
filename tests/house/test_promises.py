"""What the documents say of states, commands, routes, settings, messages and tests is so."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from litestar.handlers import HTTPRouteHandler
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo

import api.app
from api.cli import main as owl
from api.settings import Settings
from commands.admission import rights_of
from commands.agent_log import SUBJECT as AGENT_LOG
from commands.ingest_tasks import SUBJECTS as TASK_REPORTS
from commands.ingest_telemetry import SUBJECTS as TELEMETRY_REPORTS
from commands.signals import COMMITTED, PROJECTED
from domain.catalogue import BUSINESS, subject_of
from domain.facts import tag_of
from domain.fleet import messages
from domain.system.configuration import Configuration
from domain.tasks.events import Artifact
from gpu_agent.__main__ import main as owl_agent
from tests.house import state_machines
from tests.house.test_documents import DOCUMENTS
from tests.house.tree import ROOT, files, parsed, shown

README = ROOT / "README.md"
OPERATIONS = ROOT / "docs/operations.md"
MESSAGES = ROOT / "docs/messages.md"
ARCHITECTURE = ROOT / "docs/architecture.md"
WALK = re.compile(r"^\| \[([\w/.]+)\]\([^)]*\) \| ([^|]*) \|", re.MULTILINE)
PROGRAMS = {"owl": owl, "owl-agent": owl_agent}
FENCED = re.compile(r"^```(?:sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# what stands for any command (`owl COMMAND`, `owl …`) is none
IN_LINE = re.compile(r"`((?:owl|owl-agent|python3 dev\.py) [a-z-][^`]*)`")
NAMED_TEST = re.compile(r"`(test_\w+)`")
ENDPOINT = re.compile(r"`((?:GET|POST|PUT|DELETE)(?: [A-Z]+)*) (/[^`?]*)`")


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def rows_of(document: Path, heading: str) -> dict[str, list[str]]:
    """The table under a heading: its rows' cells by the first cell, without backticks."""
    _, found, rest = text_of(document).partition(f"\n{heading}\n")
    assert found, f"{shown(document)} has no heading {heading!r}"
    lines = re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0].splitlines()
    cells = [line.strip("|").split("|") for line in lines if line.startswith("| ")]
    trimmed = [[cell.strip().strip("`") for cell in row] for row in cells[1:]]
    return {row[0]: row for row in trimmed}


# ── states ─────────────────────────────────────────────────────────────────────────────────


def test_the_state_machines_are_as_the_code_has_them() -> None:
    """When this fails: ``python -m tests.house.state_machines``."""
    assert state_machines.main(["--check"]) == 0


# ── commands ───────────────────────────────────────────────────────────────────────────────


def spoken(document: Path) -> Iterator[str]:
    """Every call of a program of ours in a document: in shell blocks, and in running text."""
    text = text_of(document)
    for block in FENCED.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            call = re.sub(r"^\s*(?:\$ )?(?:OWL_\w+=\S+ )*", "", line)
            if call.startswith(("owl ", "owl-agent ", "python3 dev.py ")):
                yield call
    yield from IN_LINE.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def options_of(command: click.Command) -> set[str]:
    known = {"--help", "-h", "--version"}
    for parameter in command.params:
        known |= {*parameter.opts, *parameter.secondary_opts}
    return known


def wrong_in(call: str) -> str | None:
    """What is wrong with a call that a document names."""
    words = shlex.split(call, comments=True)
    if words[0] == "python3":
        usage = text_of(ROOT / "dev.py")
        if re.search(rf"^  {re.escape(words[2])}\b", usage, re.MULTILINE) is None:
            return f"{call}: dev.py has no such command"
        if words[2] != "up":
            return None
        words = ["owl", *words[2:]]
    command: click.Command | None = PROGRAMS[words[0]]
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        command, rest = command.get_command(click.Context(command), rest[0]), rest[1:]
    if command is None:
        return f"{call}: no such command"
    given = {word.partition("=")[0] for word in rest if word.startswith("-")}
    unknown = given - options_of(command)
    return f"{call}: {', '.join(sorted(unknown))}?" if unknown else None


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown)
def test_every_command_that_a_document_names_is_one(document: Path) -> None:
    assert [wrong for call in spoken(document) if (wrong := wrong_in(call))] == []


def programs() -> set[str]:
    found = set()
    for name in owl.list_commands(click.Context(owl)):
        command = owl.get_command(click.Context(owl), name)
        below = (
            command.list_commands(click.Context(command))
            if isinstance(command, click.Group)
            else [""]
        )
        found |= {f"{name} {part}".strip() for part in below}
    return found


def test_the_readme_names_every_command_of_owl() -> None:
    told = set()
    for names, cells in rows_of(README, "### Commands").items():
        told |= {f"{names} {part}" for part in cells[1].split()} or set(names.split(", "))
    assert told == programs()


# ── routes ─────────────────────────────────────────────────────────────────────────────────


def endpoints() -> set[tuple[str, str]]:
    """Every endpoint below ``/api`` as a client names it."""
    found = set()
    for chapter in api.app._CHAPTERS:
        for route in chapter.ROUTER.routes:
            for handler in getattr(route, "route_handlers", ()):
                assert isinstance(handler, HTTPRouteHandler)
                path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
                found |= {(method, path) for method in handler.http_methods}
    return {(method, path) for method, path in found if method != "OPTIONS"}


def test_the_readme_names_every_endpoint() -> None:
    """A new route wants a place in README.md, "The whole surface"."""
    told = {
        (method, path)
        for methods, path in ENDPOINT.findall(text_of(README))
        for method in methods.split()
    }
    assert told == endpoints()


# ── messages ───────────────────────────────────────────────────────────────────────────────

SHAPES = [
    kind
    for kind in (*vars(messages).values(), Artifact)
    if isinstance(kind, type) and issubclass(kind, Struct) and kind.__module__ != "msgspec"
]
TOLD_SHAPES = [kind for kind in dict.fromkeys(SHAPES) if kind.__name__ != "GpuInventory"]


@pytest.mark.parametrize("shape", TOLD_SHAPES, ids=lambda shape: shape.__name__)
def test_a_message_has_the_fields_that_its_table_names(shape: type[Struct]) -> None:
    if shape is Struct:
        return
    assert list(rows_of(MESSAGES, f"### {shape.__name__}")) == list(shape.__struct_fields__)


def test_the_subjects_are_those_that_programs_use() -> None:
    told = set(rows_of(MESSAGES, "## Subjects"))
    heard = (*TASK_REPORTS, *TELEMETRY_REPORTS, AGENT_LOG)
    reports = {subject.replace("*", "<server>") for subject in heard}
    kinds = {f"owl.reports.<server>.{kind}" for kind in messages.KINDS.values()}
    assert reports == kinds
    server = state_machines.SERVER_ID
    own = {messages.work_subject(server), messages.receipts_subject(server)}
    assert told == {
        "owl.events.<category>.<type>",
        *(subject.replace(str(server), "<server>") for subject in own),
        *reports,
        messages.CHECKPOINTS,
        COMMITTED,
        PROJECTED,
    }
    assert subject_of(tag_of(BUSINESS[0])).count(".") == 3
    assert set(rows_of(MESSAGES, "## Streams")) == set(messages.SUBJECTS)


def test_an_agent_has_the_rights_that_the_document_tells_and_no_others() -> None:
    server = state_machines.SERVER_ID
    rights = rights_of(server)
    rows = rows_of(MESSAGES, "## Rights of an agent").values()
    publish = {row[0].replace("<server>", str(server)) for row in rows}
    subscribe = {row[1].replace("<server>", str(server)) for row in rows if row[1]}
    assert (publish, subscribe) == (set(rights.publish), set(rights.subscribe))


# ── settings ───────────────────────────────────────────────────────────────────────────────


def plain(field: FieldInfo) -> str:
    """A default as the tables write it."""
    value: Any = field.default if field.default is not NODEFAULT else field.default_factory()
    if value is None:
        return "—"
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(
    ("heading", "settings", "prefix"),
    [("## Settings", Settings, "OWL_"), ("## Configuration", Configuration, "")],
)
def test_every_setting_is_told_with_its_default(
    heading: str, settings: type[Struct], prefix: str
) -> None:
    told = {name: row[1] for name, row in rows_of(OPERATIONS, heading).items()}
    wanted = {
        prefix + (field.name.upper() if prefix else field.name): plain(field)
        for field in msgspec.structs.fields(settings)
    }
    assert told == wanted


def test_every_variable_of_an_agent_is_told() -> None:
    command = owl_agent.get_command(click.Context(owl_agent), "run")
    assert command is not None
    known = set()
    for parameter in command.params:
        named = getattr(parameter, "envvar", None)
        known |= set([named] if isinstance(named, str) else named or ())
    told = rows_of(OPERATIONS, "### An agent's")
    assert set(told) == (known | {"OWL_AGENT_TOKEN", "OWL_AGENT_TOKEN_FILE"})


# ── the walks ──────────────────────────────────────────────────────────────────────────────


def defined_in(path: Path) -> set[str]:
    """The names of every function and class in a file, methods included."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {part.name for part in ast.walk(parsed(path)) if isinstance(part, kinds)}


def test_every_name_on_the_architecture_s_walks_is_where_it_says() -> None:
    steps = WALK.findall(text_of(ARCHITECTURE))
    assert len(steps) > 40
    gone = [
        (place, name)
        for place, names in steps
        for name in re.findall(r"`(\w+)`", names)
        if name not in defined_in(ROOT / place)
    ]
    assert gone == []


# ── proofs ─────────────────────────────────────────────────────────────────────────────────


def test_every_test_that_a_document_calls_for_proof_is_one() -> None:
    known = {
        part.name
        for path in files("tests", ending=".py")
        for part in ast.walk(ast.parse(text_of(path)))
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    told = {name for document in DOCUMENTS for name in NAMED_TEST.findall(text_of(document))}
    assert told
    assert told - known == set()
