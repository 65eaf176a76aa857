"""What one process has heard of a throttle, another changes: it is asked again before long."""

from __future__ import annotations

from uuid import uuid4

import pytest

from commands.accounts import register_user
from tests.commands.accounting import context, writing
from tests.commands.test_throttle import HOME, Time, opened, registration, tried

pytestmark = pytest.mark.anyio


async def test_what_another_process_forgives_is_forgiven_here_half_a_minute_later(
    database_url: str,
) -> None:
    time = Time()
    async with (
        writing(database_url) as writer,
        opened(database_url, time) as here,
        opened(database_url, time) as elsewhere,
    ):
        user, account = uuid4(), uuid4()
        await writer.run(register_user, registration(user, account), context())
        for number in range(101):
            await tried(here, account, f"198.51.100.{number}")
        await elsewhere.forgive(user)
        assert await tried(here, account, HOME, right=True) == 900
        time.passes(seconds=31)
        assert await tried(here, account, HOME, right=True) == 0
