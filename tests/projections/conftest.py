"""Databases with empty read models, and a small farm with a way to ask about it."""

import pytest

from projections.catalogue import BUSINESS
from projections.migrate import prepare
from tests.projections.asking import Ask
from tests.projections.farm import Farm
from tests.projections.tables import project, write_log


@pytest.fixture
def read_url(database_url: str) -> str:
    """The conninfo of a fresh database with the first generation of every read model."""
    prepare(database_url)
    return database_url


@pytest.fixture
def farm() -> Farm:
    """One user with 100 yuan, one server online with two slots."""
    farm = Farm(0)
    farm.redeem(farm.register(), farm.issue(10_000))
    farm.beat(farm.enrol("gpu-1", slots=2))
    return farm


@pytest.fixture
def ask(read_url: str, farm: Farm) -> Ask:
    """Asks about ``farm`` as it is at that moment."""

    def happen() -> None:
        write_log(read_url, farm.events)
        project(read_url, farm.events, BUSINESS)

    return Ask(read_url, happen)
