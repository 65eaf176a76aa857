"""Floods: nobody opens accounts without end, and nobody's costly requests crowd others out."""

import asyncio
from collections.abc import Iterator
from typing import cast

import httpx
import pytest

from api.crowding import Crowd
from api.door import Door
from commands.throttle import Config, Limit
from domain.errors import RateLimited
from tests.api.live import NO_TLS, PASSWORD, LiveApi, ok, refused

REGISTER = "/api/auth/register"


@pytest.fixture
def narrow(database_url: str) -> Iterator[LiveApi]:
    throttles = Config(register_address=Limit(3, 3_600))
    with LiveApi(database_url, throttles=throttles) as live:
        yield live


def test_one_address_opens_so_many_accounts_an_hour_taken_names_included(
    narrow: LiveApi,
) -> None:
    def registered(name: str) -> httpx.Response:
        body = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
        with narrow.client() as anonymous:
            return anonymous.post(REGISTER, json=body)

    ok(registered("first"))
    refused(registered("first"), 409, "EMAIL_TAKEN")
    for _ in range(3):
        with narrow.client() as anonymous:  # what is not valid opens nothing and costs nothing
            refused(anonymous.post(REGISTER, json={}), 422, "VALIDATION_ERROR")
    ok(registered("third"))
    answer = registered("fourth")
    details = refused(answer, 429, "RATE_LIMITED")
    assert int(answer.headers["retry-after"]) == details["retry_after_s"] > 0
    assert "注册" in answer.json()["message"]
    with narrow.client() as anonymous:
        login = {"email": "first@example.com", "password": PASSWORD}
        ok(anonymous.post("/api/auth/login", json=login))


def test_a_crowd_lets_in_who_has_room_and_forgets_who_has_gone() -> None:
    crowd = Crowd()
    places = [crowd.enter("one", 2), crowd.enter("one", 2)]
    with pytest.raises(RateLimited):
        crowd.enter("one", 2)
    places += [crowd.enter("two", 2), crowd.enter("one", 4)]
    crowd.leave(places[0])
    places[0] = crowd.enter("one", 2)
    for place in places:
        crowd.leave(place)
    assert not crowd._inside, "it would grow"


def test_costly_requests_of_one_caller_leave_room_for_others(fresh_api: LiveApi) -> None:
    async def together(token: str) -> list[httpx.Response]:
        headers = {"Authorization": f"Bearer {token}"}
        limits = httpx.Limits(max_connections=40)
        async with httpx.AsyncClient(
            base_url=fresh_api.url, headers=headers, limits=limits, timeout=30, verify=NO_TLS
        ) as client:
            asked = [client.get("/api/logs/user-actions") for _ in range(40)]
            return await asyncio.gather(*asked)

    with fresh_api.someone("admin") as boss, fresh_api.someone("admin") as other:
        answers = asyncio.run(together(boss.token))
        codes = [answer.status_code for answer in answers]
        assert set(codes) == {200, 429}
        assert codes.count(200) >= 4
        late = next(answer for answer in answers if answer.status_code == 429)
        refused(late, 429, "RATE_LIMITED")
        assert late.headers["retry-after"] == "1"
        ok(boss.client.get("/api/logs/user-actions"))
        ok(other.client.get("/api/logs/user-actions"))
        door = cast("Door", fresh_api.app.asgi_handler)
        # whoever is answered has gone, a moment after the last byte at the latest
        fresh_api.until(lambda: not door._desk.crowd._inside)
