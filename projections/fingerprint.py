"""What a read model's rows depend on, as one digest: its DDL and its folds.

A generation whose digest is not that of this program was made by other folds: it is neither
fed nor compared, but built anew.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from hashlib import sha256
from threading import Lock

from projections.read_model import ReadModel

_ONE_AT_A_TIME = Lock()
"""CPython 3.11 counts the depth of syntax trees for all threads together: two at once may end
in a SystemError (python/cpython#106905)."""


def fingerprint(read_model: ReadModel) -> str:
    """Sixteen hexadecimal digits that change when folds, row or tables do."""
    source = read_model.ddl.with_suffix(".py").read_text(encoding="utf-8")
    return _digest(source, read_model.ddl.read_text(encoding="utf-8"))


@lru_cache(64)  # a rebuild asks some forty times, and it takes a while
def _digest(source: str, ddl: str) -> str:
    with _ONE_AT_A_TIME:
        module = ast.parse(source)
        module.body = [part for part in module.body if not _is_query(part)]
        folds = ast.unparse(module)
    return sha256(f"{folds}\n{ddl}".encode()).hexdigest()[:16]


def _is_query(part: ast.stmt) -> bool:
    """Whether a change of this part leaves every row as it is: queries and plain text."""
    match part:
        case ast.AsyncFunctionDef() | ast.Expr(value=ast.Constant()):
            return True
        case ast.AnnAssign(value=ast.Constant(value=str())):
            return True
        case _:
            return False
