"""Passwords are hashed off the loop, a bounded number at a time."""

import asyncio
from collections.abc import Iterator

import pytest

from api.passwords import CHEAP, PasswordCost, Passwords, PasswordsBusy
from tests.api.live import LiveApi, refused

pytestmark = pytest.mark.anyio


@pytest.fixture
def cheap() -> Iterator[Passwords]:
    passwords = Passwords(CHEAP)
    yield passwords
    passwords.close()


async def test_a_hash_verifies_its_password_and_no_other(cheap: Passwords) -> None:
    kept = await cheap.hash("密码 password")
    assert kept.startswith("$argon2id$")
    assert await cheap.verify(kept, "密码 password")
    assert not await cheap.verify(kept, "密码 passwore")
    assert not await cheap.verify("no hash at all", "密码 password")
    assert not await cheap.verify(None, "nobody's password")


async def test_the_product_hashes_at_owasps_minimum() -> None:
    passwords = Passwords()
    kept = await passwords.hash("x")
    assert "m=19456,t=2,p=1" in kept
    assert not passwords.is_outdated(kept)
    cheap = Passwords(CHEAP)
    assert passwords.is_outdated(await cheap.hash("x"))
    assert await passwords.verify(await cheap.hash("x"), "x")
    for each in (passwords, cheap):
        each.close()


async def test_the_loop_goes_on_while_passwords_are_hashed() -> None:
    passwords = Passwords()
    hashing = [asyncio.ensure_future(passwords.hash("x")) for _ in range(4)]
    turns = 0
    while not all(future.done() for future in hashing):
        await asyncio.sleep(0)
        turns += 1
    passwords.close()
    assert turns > 100, "hashed by the loop itself, four passwords take it a few turns"


async def test_more_than_may_wait_are_told_so() -> None:
    passwords = Passwords(PasswordCost(memory_kib=8, passes=1, lanes=1, at_once=1, queue_max=2))
    results = await asyncio.gather(
        *(passwords.hash("x") for _ in range(10)), return_exceptions=True
    )
    passwords.close()
    busy = [result for result in results if isinstance(result, PasswordsBusy)]
    assert len(busy) == 7
    assert len(results) - len(busy) == 3


def test_a_login_that_would_wait_too_long_is_a_503(api: LiveApi) -> None:
    passwords = api.platform.passwords
    before, passwords._pending = passwords._pending, 1_000
    try:
        with api.client() as anonymous:
            answer = anonymous.post(
                "/api/auth/login", json={"email": "a@b.cc", "password": "password"}
            )
    finally:
        passwords._pending = before
    refused(answer, 503, "SERVER_UNAVAILABLE")
    assert answer.headers["retry-after"]
