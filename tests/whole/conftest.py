"""One farm for the files that leave it whole; who hurts its servers has one of its own."""

from collections.abc import Iterator

import pytest

from tests.stack import LiveStack, live_stack
from tests.whole.books import audit
from tests.whole.farm import Farm, farm_on


@pytest.fixture(scope="package")
def farm() -> Iterator[Farm]:
    """A running farm on servers that keep their word; it ends with the last test in here."""
    with live_stack(profile="durable") as stack, farm_on(stack) as running:
        running.start()
        yield running


@pytest.fixture(scope="module")
def farm_to_hurt(durable_stack: LiveStack) -> Iterator[Farm]:
    """A running farm on servers of the module's own."""
    with farm_on(durable_stack) as running:
        running.start()
        yield running


@pytest.fixture(autouse=True)
def audited(farm: Farm) -> Iterator[None]:
    """After each test the log is refolded."""
    yield
    audit(farm.database_url)
