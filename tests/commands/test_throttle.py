"""Guessing gets slow: however many guesses come at once, and whoever restarts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from commands.accounts import RegisterUser, register_user
from commands.networks import network_of
from commands.recharge import IssueCodes, NewCode, issue_codes
from commands.throttle import Config, Limit, Throttle
from domain.errors import RateLimited
from domain.ports import OutOfReach
from tests.commands.accounting import NOON, SECRETS, context, random_key, writing

pytestmark = pytest.mark.anyio
HOME, AWAY = "203.0.113.7", "198.51.100.9"
ROWS = "SELECT count(*) FROM owl_private.throttles"


class Time:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def time() -> Time:
    return Time()


@asynccontextmanager
async def opened(url: str, time: Time, **limits: Any) -> AsyncIterator[Throttle]:
    async with Throttle(url, SECRETS, time, config=Config(**limits)) as throttle:
        yield throttle


async def tried(
    throttle: Throttle, account: UUID, address: str | None = HOME, *, right: bool = False
) -> int:
    """One login; how many seconds to wait, 0 when it was judged."""
    try:
        throttle.check_login(account, address)
        await throttle.judge_login(account, address, right=right)
    except RateLimited as limited:
        return int(limited.details["retry_after_s"])
    return 0


async def redeemed(throttle: Throttle, user: UUID, address: str, code: UUID) -> int:
    try:
        await throttle.judge_code(code, user, address)
    except RateLimited as limited:
        return int(limited.details["retry_after_s"])
    return 0


async def test_after_five_wrong_passwords_each_next_one_waits_twice_as_long(
    database_url: str, time: Time
) -> None:
    account = uuid4()
    async with opened(database_url, time) as throttle:
        assert [await tried(throttle, account) for _ in range(5)] == [0] * 5
        for wait_s in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900):
            assert await tried(throttle, account) == wait_s
            time.passes(seconds=wait_s)
            assert await tried(throttle, account) == 0


async def test_a_closed_pair_takes_not_even_the_right_password(
    database_url: str, time: Time
) -> None:
    account = uuid4()
    async with opened(database_url, time) as throttle:
        for _ in range(5):
            await tried(throttle, account)
        with pytest.raises(RateLimited):
            await throttle.judge_login(account, HOME, right=True)
        time.passes(seconds=1)
        assert await tried(throttle, account, right=True) == 0
        assert [await tried(throttle, account) for _ in range(6)] == [0] * 5 + [1]


async def test_strangers_do_not_lock_a_user_out(database_url: str, time: Time) -> None:
    account = uuid4()
    async with opened(database_url, time) as throttle:
        for _ in range(40):
            await tried(throttle, account, AWAY)
            time.passes(seconds=1)
        assert await tried(throttle, account, HOME, right=True) == 0


async def test_quiet_minutes_are_a_fresh_start(database_url: str, time: Time) -> None:
    account = uuid4()
    async with opened(database_url, time) as throttle:
        for _ in range(4):
            await tried(throttle, account)
        time.passes(minutes=15)
        assert [await tried(throttle, account) for _ in range(6)] == [0] * 5 + [1]


async def test_an_address_has_thirty_wrong_passwords_in_a_quarter_of_an_hour(
    database_url: str, time: Time
) -> None:
    async with opened(database_url, time) as throttle:
        assert [await tried(throttle, uuid4()) for _ in range(30)] == [0] * 30
        time.passes(minutes=5)
        assert await tried(throttle, uuid4()) == 600
        assert await tried(throttle, uuid4(), AWAY) == 0
        time.passes(minutes=10)
        assert await tried(throttle, uuid4()) == 0


async def test_an_account_that_failed_a_hundred_times_waits_for_an_admin(
    database_url: str, time: Time
) -> None:
    async with writing(database_url) as writer, opened(database_url, time) as throttle:
        user, account = uuid4(), uuid4()
        await writer.run(register_user, registration(user, account), context())
        assert await throttle.account_of(user) == account
        for number in range(100):
            assert await tried(throttle, account, f"198.51.100.{number}") == 0
        assert await tried(throttle, account, HOME, right=True) == 900
        time.passes(days=29)
        assert await tried(throttle, account, HOME, right=True) == 900
        await throttle.forgive(user)
        assert await tried(throttle, account, HOME, right=True) == 0


async def test_a_success_takes_back_the_failures_of_its_own_address_only(
    database_url: str, time: Time
) -> None:
    account = uuid4()
    limits = {"login_account": Limit(6, 86_400, "quiet")}
    async with opened(database_url, time, **limits) as throttle:
        for address in (HOME, HOME, HOME, AWAY, AWAY):
            await tried(throttle, account, address)
        assert await tried(throttle, account, HOME, right=True) == 0
        assert [await tried(throttle, account, AWAY) for _ in range(3)] == [0, 0, 0]
        assert await tried(throttle, account, AWAY) == 1
        assert await tried(throttle, account, HOME) == 0
        assert await tried(throttle, account, HOME) == 900


async def test_of_many_guesses_at_once_only_five_learn_anything(
    database_url: str, time: Time
) -> None:
    account = uuid4()
    async with opened(database_url, time) as one, opened(database_url, time) as two:
        done = await asyncio.gather(*(tried(each, account) for each in (one, two) * 50))
    assert Counter(done) == {0: 5, 1: 95}


async def test_many_people_behind_one_address_log_in_at_once(
    database_url: str, time: Time
) -> None:
    async with opened(database_url, time) as throttle:
        done = await asyncio.gather(*(tried(throttle, uuid4(), right=True) for _ in range(200)))
    assert set(done) == {0}
    with psycopg.connect(database_url) as connection:
        assert connection.execute(ROWS).fetchone() == (0,)


async def test_a_restart_forgets_nothing(database_url: str, time: Time) -> None:
    account = uuid4()
    async with opened(database_url, time) as throttle:
        for _ in range(5):
            await tried(throttle, account)
    async with opened(database_url, time) as throttle:
        throttle.check_login(account, HOME)  # it cannot know yet
        assert await tried(throttle, account) == 1


async def test_codes_that_do_not_exist_are_counted_per_user_per_address_and_in_all(
    database_url: str, time: Time
) -> None:
    async with opened(database_url, time) as throttle:
        user = uuid4()
        done = [await redeemed(throttle, user, HOME, uuid4()) for _ in range(6)]
        assert done == [0] * 5 + [3_600]
        done = [await redeemed(throttle, uuid4(), HOME, uuid4()) for _ in range(15)]
        assert done == [0] * 15
        assert await redeemed(throttle, uuid4(), HOME, uuid4()) == 3_600
        assert await redeemed(throttle, uuid4(), AWAY, uuid4()) == 60
        time.passes(seconds=60)
        assert await redeemed(throttle, uuid4(), AWAY, uuid4()) == 0
        time.passes(hours=1)
        assert await redeemed(throttle, user, HOME, uuid4()) == 0


async def test_a_code_that_exists_is_no_guess_unless_guessing_is_closed(
    database_url: str, time: Time
) -> None:
    user, code = uuid4(), uuid4()
    async with writing(database_url) as writer, opened(database_url, time) as throttle:
        await writer.run(issue_codes, issue(code), context())
        for _ in range(30):
            assert await redeemed(throttle, user, HOME, code) == 0
        for _ in range(5):
            assert await redeemed(throttle, user, HOME, uuid4()) == 0
        assert await redeemed(throttle, user, HOME, code) == 3_600
        assert await redeemed(throttle, uuid4(), HOME, code) == 0


async def test_a_storm_of_guessed_codes_is_answered_twenty_times(
    database_url: str, time: Time
) -> None:
    async with opened(database_url, time) as one, opened(database_url, time) as two:
        done = await asyncio.gather(
            *(
                redeemed(each, uuid4(), f"198.51.{turn}.1", uuid4())
                for turn, each in enumerate((one, two) * 60)
            )
        )
    assert sum(seconds == 0 for seconds in done) == 20


async def test_the_table_tells_no_address(database_url: str, time: Time) -> None:
    async with opened(database_url, time) as throttle:
        await tried(throttle, uuid4())
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT t::text FROM owl_private.throttles AS t").fetchall()
    assert len(rows) == 3
    assert HOME not in str(rows)


async def test_old_failures_are_removed(database_url: str, time: Time) -> None:
    async with opened(database_url, time) as throttle:
        await tried(throttle, uuid4())
        time.passes(days=32)
        await tried(throttle, uuid4(), AWAY)
    with psycopg.connect(database_url) as connection:
        assert connection.execute(ROWS).fetchone() == (3,)


async def test_without_postgres_nobody_is_let_pass(time: Time) -> None:
    async with opened("host=127.0.0.1 port=1 dbname=none", time) as throttle:
        with pytest.raises(OutOfReach):
            await throttle.judge_login(uuid4(), HOME, right=True)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (None, "unknown"),
        ("testclient", "testclient"),
    ],
)
def test_a_client_counts_by_what_it_has_to_itself(address: str | None, network: str) -> None:
    assert network_of(address) == network


def registration(user: UUID, account: UUID) -> RegisterUser:
    return RegisterUser(
        user_id=user,
        email="a@example.com",
        username="a",
        full_name="",
        password_hash="-",
        email_claim=account,
        username_claim=uuid4(),
        subject_key=random_key(),
    )


def issue(code: UUID) -> IssueCodes:
    return IssueCodes(
        batch_id=uuid4(),
        codes=(NewCode(code, "OWL-ABCD-****-****", "-"),),
        amount_fen=1,
        max_uses=100,
        expires_at=None,
        description="",
        at=NOON,
    )
