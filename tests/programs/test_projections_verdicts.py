"""Change a fold, rebuild, look, switch: what the command line says, and its exit codes."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from click.testing import CliRunner, Result

from api.cli import main
from api.keys import make_keys
from api.programs import projections
from api.programs.projections_open import Opening
from projections.migrate import prepare
from projections.status import ReadModelStatus
from projections.wishes import Stopped
from tests.api.live import LiveApi, ok
from tests.api.opened import SECRETS

OTHER_ROWS = """
    UPDATE owl_read.checkpoints SET fingerprint = 'other' WHERE read_model = 'gpu_servers';
    UPDATE read.gpu_servers SET name = 'as it was: ' || name;
"""

FED = "UPDATE owl_read.checkpoints SET position = 100 WHERE read_model = 'gpu_servers'"
"""As if the old version had gone on."""
LAGS = """
    UPDATE owl_read.checkpoints SET updated_at = now() - interval '6 seconds', position = 1
    WHERE read_model = 'gpu_servers' AND state = 'live'
"""


@pytest.mark.parametrize(
    ("act", "told"),
    [
        ("rollback", "a second rollback goes forward again"),
        ("status", "Rows are those of all its tables together"),
    ],
)
def test_a_page_of_help_says_what_cannot_be_guessed(act: str, told: str) -> None:
    page = CliRunner().invoke(main, ["projections", act, "--help"]).output
    assert told in " ".join(page.split())


@pytest.mark.parametrize(
    ("words", "ends", "told"),
    [
        ("tasks", Stopped({"tasks": "pause"}), "`owl projections resume tasks` goes on"),
        (
            "tasks users",
            Stopped({"tasks": "cancel", "users": "pause"}),
            "what was built of tasks is thrown away, as an operator wished; users was paused",
        ),
        ("tasks", KeyboardInterrupt(), "`owl projections resume tasks` goes on with it"),
        ("tasks users", KeyboardInterrupt(), "`owl projections rebuild users tasks` goes on"),
        ("--all", KeyboardInterrupt(), "`owl projections rebuild --all` goes on with it"),
    ],
)
def test_a_rebuild_that_is_left_says_what_goes_on_with_it(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    ends: BaseException,
    told: str,
) -> None:
    def left(_opening: Opening, _act: Any) -> None:
        raise ends

    make_keys(tmp_path)
    prepare(database_url)
    monkeypatch.setattr(Opening, "operated", left)
    environment = {"OWL_DATABASE_URL": database_url, "OWL_SECRETS_DIR": str(tmp_path)}
    environment |= {"OWL_PROFILE": "test"}
    said = CliRunner().invoke(main, f"projections rebuild {words}", env=environment)
    assert told in said.stderr
    assert said.exit_code == (130 if isinstance(ends, KeyboardInterrupt) else 1)


def test_an_operator_sees_what_other_folds_change_before_queries_move_to_it(
    database_url: str, tmp_path: Path
) -> None:
    with LiveApi(database_url) as api, api.someone("admin") as admin:
        for number in range(3):
            wanted = {"name": f"gpu-{number}", "max_concurrent_tasks": 1}
            ok(admin.client.post("/api/gpu/servers", json=wanted))
    make_keys(tmp_path)
    (tmp_path / "pepper").write_text(SECRETS.pepper.hex())
    (tmp_path / "sealing-key").write_text(SECRETS.sealing_key.hex())
    with psycopg.connect(database_url) as connection:
        connection.execute(OTHER_ROWS)
    environment = {"OWL_DATABASE_URL": database_url, "OWL_SECRETS_DIR": str(tmp_path)}
    environment |= {"OWL_PROFILE": "test"}

    def owl(*words: str, code: int) -> Result:
        done = CliRunner().invoke(main, ["projections", *words], env=environment)
        assert done.exit_code == code, done.output
        return done

    def said(act: str, *words: str) -> Any:
        return json.loads(owl(act, "gpu_servers", "--json", *words, code=0).stdout)

    assert "--switch manual" in owl("verify", "gpu_servers", code=2).output
    owl("rebuild", "gpu_servers", "--switch", "manual", code=0)
    verdict = owl("verify", "gpu_servers", code=1).output
    assert "gpu_servers: 3 of 3 rows differ, columns: name" in verdict
    shown = owl("diff", "gpu_servers", "--limit", "2", code=1).output
    assert "Error" not in verdict + shown
    assert shown.count("as it was: gpu-") == 2
    assert "3 of 3 rows differ" in shown
    for act in ("switch", "rebuild"):
        refused = owl(act, "gpu_servers", code=1).output
        assert f"owl projections {act} gpu_servers --unfed" in refused
    assert said("switch", "--unfed")["after_generation"] == 2
    kept = owl("verify", "gpu_servers", code=1).output
    assert "generations 2 (live) and 1 (kept, other folds)" in kept
    assert "3 of 3 rows differ, columns: name" in kept
    assert "rollback gpu_servers goes back to them" in kept
    assert re.search(
        r"2 and 1 at \d+: 3 rows differ", owl("status", "gpu_servers", code=0).output
    )
    with psycopg.connect(database_url) as connection:
        connection.execute(LAGS)
    told = owl("status", "gpu_servers", code=1).output
    assert "unfed" in told
    assert "nobody feeds gpu_servers: start owl work of this version" in told
    assert "owl projections rollback gpu_servers" in told
    assert (
        "queries see generation 2 of gpu_servers already"
        in owl("switch", "gpu_servers", code=1).output
    )
    with psycopg.connect(database_url) as connection:
        connection.execute(FED)
    assert (
        "was made by other folds and no program"
        in owl("rollback", "gpu_servers", code=1).output
    )
    assert (
        "generation 2 → 1; 2 is kept, and another rollback shows it again"
        in owl("rollback", "gpu_servers", "--unfed", code=0).output
    )
    shown = owl("switch", "gpu_servers", code=1).output
    assert "queries see generation 1 of gpu_servers already" in shown
    assert "rollback gpu_servers takes them to generation 2" in shown
    assert said("drop-old") == {"read_model": "gpu_servers", "dropped_generations": [2]}
    for act in ("rollback", "drop-old"):
        nothing = owl(act, "gpu_servers", code=1).output
        assert "only generation 1 is there and none is kept" in nothing
    owl("rebuild", "gpu_servers", "--switch", "manual", code=0)
    assert said("cancel") == {"read_model": "gpu_servers", "wish": "cancel"}
    for act in ("pause", "cancel", "resume"):
        assert f"nothing to {act}" in owl(act, "gpu_servers", code=1).output


@pytest.mark.parametrize("as_json", [True, False])
def test_who_watches_through_a_pipe_gets_a_line_whenever_something_changes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    users, servers = (standing(name, position=7) for name in ("users", "gpu_servers"))
    on = standing("users", position=9)
    seen = iter([[users, servers], [users, servers], [on, servers], [on, servers]])

    def look(_opening: object, _names: object) -> list[ReadModelStatus]:
        try:
            return next(seen)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(projections, "_statuses", look)
    monkeypatch.setattr(projections, "WATCH_EVERY_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        projections._watch_in_lines(cast("Opening", None), (), as_json=as_json)
    lines = capsys.readouterr().out.splitlines()
    if as_json:
        told = [[each["position"] for each in json.loads(line)] for line in lines]
        assert told == [[7, 7], [9, 7]]
    else:
        assert lines == [
            "users, generation 1: following, position 7, 0 behind",
            "gpu_servers, generation 1: following, position 7, 0 behind",
            "users, generation 1: following, position 9, 0 behind",
        ]


def standing(name: str, *, position: int) -> ReadModelStatus:
    return ReadModelStatus(
        read_model=name,
        generation=1,
        source="business",
        fingerprint="-",
        is_current=True,
        state="live",
        condition="following",
        position=position,
        lag_events=0,
        lag_s=0.0,
        stopped_at=None,
        error=None,
        rows=1,
        rows_are_exact=True,
        size_bytes=8192,
        updated_at=datetime(2026, 3, 1, tzinfo=UTC),
        job=None,
        compared=None,
    )
