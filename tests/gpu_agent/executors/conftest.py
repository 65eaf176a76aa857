"""A context for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu_agent.executors.clips import Context


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path)
