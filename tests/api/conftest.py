"""One server for each module of tests; ``fresh_api`` is one on a database of its own.

Whatever the tests did, the log that they leave behind is proved before its database goes.
"""

import logging
from collections.abc import Iterator
from io import StringIO

import pytest
import structlog

from api.logging_setup import set_up_logging
from api.settings import Settings
from tests.api.live import LiveApi, Person
from tests.proof import proved_database
from tests.stack import LiveStack


@pytest.fixture(scope="module")
def api(session_stack: LiveStack) -> Iterator[LiveApi]:
    with proved_database(session_stack) as url, LiveApi(url) as live:
        yield live


@pytest.fixture
def database_url(session_stack: LiveStack) -> Iterator[str]:
    with proved_database(session_stack) as url:
        yield url


@pytest.fixture
def fresh_api(database_url: str) -> Iterator[LiveApi]:
    with LiveApi(database_url) as live:
        yield live


@pytest.fixture(scope="module")
def user(api: LiveApi) -> Iterator[Person]:
    with api.someone() as person:
        yield person


@pytest.fixture(scope="module")
def admin(api: LiveApi) -> Iterator[Person]:
    with api.someone("admin") as person:
        yield person


@pytest.fixture(scope="module")
def auditor(api: LiveApi) -> Iterator[Person]:
    with api.someone("auditor") as person:
        yield person


@pytest.fixture
def terminal() -> Iterator[StringIO]:
    """A process whose logging is set up, down to the last detail; what it writes."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = StringIO()
    settings = Settings(profile="test", log_format="json", log_level="DEBUG")
    set_up_logging(settings, program="t", stream=stream)
    yield stream
    root.handlers[:], root.level = before
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
