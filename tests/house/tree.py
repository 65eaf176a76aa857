"""The tree as the house tests see it: where it is, and which files in it are ours."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("domain", "commands", "projections", "api", "gpu_agent")
BUILT = {"build", "dist", "__pycache__", "node_modules", "secrets"}


def files(*tops: str, ending: str) -> Iterator[Path]:
    """Every file of ours below ``tops`` (the whole tree if none) whose name ends so."""
    for top in tops or (".",):
        for path in sorted((ROOT / top).rglob(f"*{ending}")):
            inside = path.relative_to(ROOT).parts[:-1]
            if not any(part in BUILT or part.startswith(".") for part in inside):
                yield path


def shown(path: Path) -> str:
    """The path as a person would name it, from the root."""
    return path.relative_to(ROOT).as_posix()


def parsed(path: Path) -> ast.Module:
    """The module's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=shown(path))
