"""One farm for the tests that leave it whole; those that hurt the servers get their own."""

from collections.abc import Iterator

import pytest

from tests.stack import LiveStack
from tests.whole.books import audit
from tests.whole.farm import Farm, farm_on


@pytest.fixture(scope="module")
def farm(durable_stack: LiveStack) -> Iterator[Farm]:
    """A running farm on servers that keep their word."""
    with farm_on(durable_stack) as running:
        running.start()
        yield running


@pytest.fixture(autouse=True)
def audited(farm: Farm) -> Iterator[None]:
    """After each test the log is refolded."""
    yield
    audit(farm.database_url)
