"""Change a fold, rebuild, look, switch: what the command line says, and its exit codes."""

from __future__ import annotations

from pathlib import Path

import psycopg
from click.testing import CliRunner, Result

from api.cli import main
from api.keys import make_keys
from tests.api.live import SECRETS, LiveApi, ok

OTHER_ROWS = """
    UPDATE owl_read.checkpoints SET fingerprint = 'other' WHERE read_model = 'gpu_servers';
    UPDATE read.gpu_servers SET name = 'as it was: ' || name;
"""


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

    assert "--switch manual" in owl("verify", "gpu_servers", code=2).output
    owl("rebuild", "gpu_servers", "--switch", "manual", code=0)
    verdict = owl("verify", "gpu_servers", code=1).output
    assert "gpu_servers: 3 of 3 rows differ, columns: name" in verdict
    shown = owl("diff", "gpu_servers", "--limit", "2", code=1).output
    assert "Error" not in verdict + shown
    assert shown.count("as it was: gpu-") == 2
    assert "3 of 3 rows differ" in shown
    owl("switch", "gpu_servers", code=0)
