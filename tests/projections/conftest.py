"""A database with empty read models."""

import pytest

from projections.migrate import prepare


@pytest.fixture
def read_url(database_url: str) -> str:
    """The conninfo of a fresh database with the first generation of every read model."""
    prepare(database_url)
    return database_url
