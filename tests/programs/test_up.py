"""`owl up --once`: a person's first minute, from nothing to a result; and again on its data."""

import os
import subprocess
import sys
from pathlib import Path

from tests.stack import data_directory

WITHIN_S = 120


def owl_up(data_dir: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OWL_")
    }
    return subprocess.run(
        [sys.executable, "-m", "api.cli", "up", "--once", "--data-dir", str(data_dir)],
        env=environment | {"COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def test_up_once_analyses_a_video_and_ends_well_twice_on_one_directory() -> None:
    with data_directory() as data_dir:
        for _ in range(2):
            done = owl_up(data_dir)
            assert done.returncode == 0, done.stdout + done.stderr
            for shown in ("h264", "1280 × 720", "Motion", "Balance after", "GPU-Server-01"):
                assert shown in done.stdout
            assert "Try next" not in done.stdout, "nothing is there any more"
        pictures = list((data_dir / "results").glob("*/*.jpg"))
        assert len({picture.parent for picture in pictures}) == 2
        assert all(picture.read_bytes().startswith(b"\xff\xd8") for picture in pictures)
        for private in ("secrets", "logs", "results", "artifacts", "agent"):
            assert (data_dir / private).stat().st_mode & 0o077 == 0, private
