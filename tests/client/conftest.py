"""One live API for each module, and a farm that tests play."""

from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import ReturnLoggerFactory

from tests.api.live import LiveApi, Person
from tests.client.played_farm import PlayedFarm
from tests.proof import proved_database
from tests.stack import LiveStack


@pytest.fixture(scope="module")
def api(session_stack: LiveStack) -> Iterator[LiveApi]:
    with proved_database(session_stack) as url, LiveApi(url) as live:
        yield live


@pytest.fixture(scope="module")
def farm(api: LiveApi) -> PlayedFarm:
    farm = PlayedFarm(api)
    farm.beat()
    return farm


@pytest.fixture
def user(api: LiveApi) -> Iterator[Person]:
    with api.someone() as person:
        yield person


@pytest.fixture(scope="module")
def admin(api: LiveApi) -> Iterator[Person]:
    with api.someone("admin") as person:
        yield person


@pytest.fixture(scope="module", autouse=True)
def _quiet_server() -> Iterator[None]:
    """The server runs in this process; what it logs is not what a command prints."""
    structlog.configure(logger_factory=ReturnLoggerFactory())
    yield
    structlog.reset_defaults()
