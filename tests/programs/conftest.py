"""A log with empty read models beside it, and a writer: what a worker finds."""

from collections.abc import AsyncIterator, Iterator

import pytest

from commands.event_log.log import EventLog
from commands.writer import Writer
from projections.migrate import prepare
from tests.commands.accounting import opened, writing


@pytest.fixture
def log(database_url: str) -> Iterator[EventLog]:
    prepare(database_url)
    with opened(database_url) as log:
        yield log


@pytest.fixture
async def writer(log: EventLog) -> AsyncIterator[Writer]:
    async with writing(log.conninfo) as writer:
        yield writer
