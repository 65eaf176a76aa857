"""Nobody opens accounts without end: so many an hour from one address, and so many in all."""

from __future__ import annotations

import pytest

from commands.throttle import Limit, Throttle
from domain.errors import RateLimited
from tests.commands.test_throttle import AWAY, HOME, Time, opened

pytestmark = pytest.mark.anyio


async def test_accounts_are_opened_so_many_an_hour_from_one_address_and_in_all(
    database_url: str,
) -> None:
    time = Time()
    limits = {"register_address": Limit(3, 3_600), "register_all": Limit(5, 3_600)}

    async def opened_from(throttle: Throttle, address: str) -> int:
        try:
            await throttle.judge_registration(address)
        except RateLimited as limited:
            return int(limited.details["retry_after_s"])
        return 0

    async with (
        opened(database_url, time, **limits) as one,
        opened(database_url, time, **limits) as two,
    ):
        at_home = [await opened_from(throttle, HOME) for throttle in (one, two) * 3]
        assert at_home == [0, 0, 0, 3_600, 3_600, 3_600]
        away = [await opened_from(throttle, AWAY) for throttle in (one, two) * 2]
        assert away == [0, 0, 3_600, 3_600]
        assert await opened_from(two, "192.0.2.77") == 3_600, "of anybody, in all"
        time.passes(hours=1)
        assert await opened_from(one, HOME) == 0
