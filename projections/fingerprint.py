"""What a read model's rows depend on, as one digest: its DDL, its folds and what those call.

A generation whose digest is not that of this program was made by other folds: it is neither
fed nor compared, but built anew. Of ``domain`` only those definitions count that the folds
reach, so that a change elsewhere in the same module rebuilds nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Final

from msgspec import Struct

from projections.read_model import ReadModel

_ONE_AT_A_TIME = Lock()
"""CPython 3.11 counts the depth of syntax trees for all threads together: two at once may end
in a SystemError (python/cpython#106905)."""
DOMAIN: Final = "domain."


class _Module(Struct, frozen=True):
    """A module's top level: what defines a name, and from where in the domain names come."""

    definitions: dict[str, ast.stmt]
    imports: dict[str, tuple[str, str]]


def fingerprint(read_model: ReadModel) -> str:
    """Sixteen hexadecimal digits that change when folds, row or tables do.

    It is that of the program that runs: found out once, before a deployment lays other files
    under it.
    """
    return _of_program(read_model.ddl)


def fingerprints(read_models: Iterable[ReadModel]) -> dict[str, str]:
    """Those of several, by the read model's name."""
    return {model.name: fingerprint(model) for model in read_models}


def fingerprint_of_files(read_model: ReadModel) -> str:
    """The same of the files as they are now."""
    return _of_files(read_model.ddl)


@cache
def _of_program(ddl: Path) -> str:
    return _of_files(ddl)


def _of_files(ddl: Path) -> str:
    source = ddl.with_suffix(".py").read_text(encoding="utf-8")
    tables = ddl.read_text(encoding="utf-8")
    with _ONE_AT_A_TIME:
        module = ast.parse(source)
        module.body = [part for part in module.body if not _is_query(part)]
        imports = dict(_imports(module))
        called = _called(module, imports)
        return sha256(f"{ast.unparse(module)}\n{called}\n{tables}".encode()).hexdigest()[:16]


def fingerprint_of(place: tuple[str, str]) -> str:
    """The same of what one definition in the domain reaches: its module, and its name there."""
    with _ONE_AT_A_TIME:
        return sha256(_reached([place]).encode()).hexdigest()[:16]


def _called(folds: ast.Module, imports: dict[str, tuple[str, str]]) -> str:
    """The definitions in the domain that the folds reach, in the order of their names."""
    return _reached([imports[name] for name in _names(folds) if name in imports])


def _reached(ahead: list[tuple[str, str]]) -> str:
    reached: dict[tuple[str, str], str] = {}
    while ahead:
        place = ahead.pop()
        if place in reached:
            continue
        module = _module(place[0])
        definition = module.definitions.get(place[1])
        if definition is None:  # handed on from elsewhere
            ahead += [module.imports[place[1]]] if place[1] in module.imports else []
            continue
        reached[place] = ast.unparse(definition)
        for name in _names(definition):
            if name in module.definitions:
                ahead.append((place[0], name))
            elif name in module.imports:
                ahead.append(module.imports[name])
    return "\n".join(f"{place}: {reached[place]}" for place in sorted(reached))


@lru_cache(256)
def _module(name: str) -> _Module:
    spec = find_spec(name)
    assert spec is not None, f"{name} was imported and is not there"
    assert spec.origin is not None, f"{name} was imported and has no file"
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    definitions = {name: part for part in tree.body for name in _defined(part)}
    return _Module(definitions, dict(_imports(tree)))


def _defined(part: ast.stmt) -> Iterator[str]:
    match part:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            yield from (name for target in targets for name in _names(target))
        case ast.AnnAssign(target=target):
            yield from _names(target)


def _imports(module: ast.Module) -> Iterator[tuple[str, tuple[str, str]]]:
    for part in module.body:
        if isinstance(part, ast.ImportFrom) and (part.module or "").startswith(DOMAIN):
            for each in part.names:
                yield each.asname or each.name, (part.module or "", each.name)


def _names(part: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(part) if isinstance(node, ast.Name)}


def _is_query(part: ast.stmt) -> bool:
    """Whether a change of this part leaves every row as it is: queries and plain text."""
    match part:
        case ast.AsyncFunctionDef() | ast.Expr(value=ast.Constant()):
            return True
        case ast.AnnAssign(value=ast.Constant(value=str())):
            return True
        case _:
            return False
