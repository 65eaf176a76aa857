"""Every row of the table of bad input has its test, and no test a row that is not there."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE.parents[2] / "docs/contract/bad-input.md"
ROW = re.compile(r"C\d\.\d\d")


def test_every_row_is_tested_and_every_test_names_its_row() -> None:
    rows = re.findall(r"^\| (C\d\.\d\d) \|", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == len(set(rows))
    tested = {
        row
        for path in HERE.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        for row in ROW.findall(ast.get_docstring(node) or "")
    }
    assert tested == set(rows)
