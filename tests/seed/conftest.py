"""One live API with its farm for all samples of the document."""

from collections.abc import Iterator

import pytest

from tests.api.live import LiveApi
from tests.proof import proved_database
from tests.seed.world import World, open_world
from tests.stack import LiveStack


@pytest.fixture(scope="package")
def api(session_stack: LiveStack) -> Iterator[LiveApi]:
    with proved_database(session_stack) as url, LiveApi(url) as live:
        yield live


@pytest.fixture(scope="package")
def world(api: LiveApi) -> Iterator[World]:
    yield from open_world(api)
