"""Two agents never share a state directory."""

import os
from pathlib import Path

import pytest

from gpu_agent.ownership import StateInUse, owned


def test_a_second_agent_is_refused_and_told_who_is_there(tmp_path: Path) -> None:
    with (
        owned(tmp_path),
        pytest.raises(StateInUse, match=f"process {os.getpid()}"),
        owned(tmp_path),
    ):
        pass


def test_the_directory_is_free_when_its_agent_has_gone(tmp_path: Path) -> None:
    for _ in range(2):
        with owned(tmp_path / "new"):
            pass
