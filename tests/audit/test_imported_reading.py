"""A copy of a log has no read models until they are built, and every program says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from api.cli import main
from api.keys import make_keys
from tests.audit.conftest import Notarised
from tests.audit.test_bundle import bundled

TO_DO = "no read models yet: owl projections rebuild --all"


def test_a_copy_without_read_models_says_how_to_build_them_and_then_adds_up(
    notarised: Notarised, tmp_path: Path, session_stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bundled(notarised, tmp_path / "b.owlb", 1, 1000)
    conninfo = session_stack.create_database()
    make_keys(tmp_path / "secrets")
    monkeypatch.setenv("OWL_PROFILE", "test")
    monkeypatch.setenv("OWL_DATABASE_URL", conninfo)
    monkeypatch.setenv("OWL_SECRETS_DIR", str(tmp_path / "secrets"))

    def owl(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == code, result.output
        return result.output

    owl("audit", "import", str(path), "--pub", str(notarised.key))
    for command in (
        ("projections", "status"),
        ("projections", "list"),
        ("audit", "reconcile"),
    ):
        assert TO_DO in owl(*command, code=3)
    owl("projections", "rebuild", "--all")
    owl("projections", "status")
    assert "as of position" in owl("audit", "reconcile")
    session_stack.drop_database(conninfo)
