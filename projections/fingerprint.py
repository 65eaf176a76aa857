"""What a read model's rows depend on, as one digest: its DDL and its folds.

A generation whose digest is not that of this program was made by other folds: it is neither
fed nor compared, but built anew.
"""

from __future__ import annotations

import ast
from hashlib import sha256

from projections.read_model import ReadModel


def fingerprint(read_model: ReadModel) -> str:
    """Sixteen hexadecimal digits that change when folds, row or tables do."""
    module = ast.parse(read_model.ddl.with_suffix(".py").read_text(encoding="utf-8"))
    module.body = [part for part in module.body if not _is_query(part)]
    ddl = read_model.ddl.read_text(encoding="utf-8")
    return sha256(f"{ast.unparse(module)}\n{ddl}".encode()).hexdigest()[:16]


def _is_query(part: ast.stmt) -> bool:
    """Whether a change of this part leaves every row as it is: queries and plain text."""
    match part:
        case ast.AsyncFunctionDef() | ast.Expr(value=ast.Constant()):
            return True
        case ast.AnnAssign(value=ast.Constant(value=str())):
            return True
        case _:
            return False
