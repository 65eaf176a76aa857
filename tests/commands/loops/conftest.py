"""A plant for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.commands.loops.plant import Plant, open_plant


@pytest.fixture
async def plant(database_url: str, nats_url: str, tmp_path: Path) -> AsyncIterator[Plant]:
    """Log, writer and broker; workers and agents are the test's to start."""
    async with open_plant(database_url, nats_url, tmp_path) as opened:
        yield opened
