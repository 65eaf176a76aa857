"""Guessing is slow: wrong passwords and codes end in 429 with the time to wait."""

from collections.abc import Iterator

import httpx
import pytest

from commands.throttle import Config, Limit
from tests.api.documented import as_documented
from tests.api.live import PASSWORD, LiveApi, Person, ok, refused

TRIES = 3
THROTTLES = Config(
    login_pair=Limit(TRIES, 900, "quiet"),  # doubling begins with one second, and tests last
    login_address=Limit(100, 900),
    redeem_user=Limit(TRIES, 3_600),
    redeem_address=Limit(100, 3_600),
    redeem_all=Limit(100, 60),
)


@pytest.fixture
def guarded(database_url: str) -> Iterator[LiveApi]:
    with LiveApi(database_url, throttles=THROTTLES) as live:
        yield live


def limited(answer: httpx.Response, code: str = "RATE_LIMITED") -> int:
    details = refused(answer, 429, code)
    wait_s = int(answer.headers["retry-after"])
    assert wait_s == details["retry_after_s"] >= 1
    as_documented(answer, f"POST {answer.url.path}")
    return wait_s


@pytest.mark.parametrize("email", ["", "nobody@example.com"])
def test_wrong_passwords_are_answered_alike_until_none_is_taken(
    guarded: LiveApi, email: str
) -> None:
    with guarded.someone() as person, guarded.client() as anonymous:
        login = {"email": email or person.email, "password": "wrong password"}
        for _ in range(TRIES):
            refused(anonymous.post("/api/auth/login", json=login), 401, "INVALID_CREDENTIALS")
        for password in ("wrong password", PASSWORD):
            answer = anonymous.post("/api/auth/login", json=login | {"password": password})
            assert f"错误次数过多，请 {limited(answer)} 秒后再试" == answer.json()["message"]
        ok(person.client.get("/api/users/me"))  # whoever is signed in stays so


def test_a_wrong_current_password_counts_like_a_login(guarded: LiveApi) -> None:
    with guarded.someone() as person, guarded.client() as anonymous:
        body = {"current_password": "wrong password", "new_password": "another one 1"}
        for _ in range(TRIES):
            answer = person.client.post("/api/users/change-password", json=body)
            refused(answer, 401, "INVALID_CREDENTIALS")
        right = body | {"current_password": PASSWORD}
        limited(person.client.post("/api/users/change-password", json=right))
        login = {"email": person.email, "password": PASSWORD}
        limited(anonymous.post("/api/auth/login", json=login))


def test_a_right_password_forgets_the_wrong_ones(guarded: LiveApi) -> None:
    with guarded.someone() as person, guarded.client() as anonymous:
        login = {"email": person.email, "password": "wrong password"}
        for _ in range(2):
            for _ in range(TRIES - 1):
                answer = anonymous.post("/api/auth/login", json=login)
                refused(answer, 401, "INVALID_CREDENTIALS")
            ok(anonymous.post("/api/auth/login", json=login | {"password": PASSWORD}))


def test_codes_that_do_not_exist_end_redeeming_for_a_while(guarded: LiveApi) -> None:
    with guarded.someone("admin") as admin, guarded.someone() as guesser:
        code = ok(admin.client.post("/api/recharge/codes", json={"amount": 1}))["codes"][0]
        path = "/api/recharge/redeem"

        def tried(person: Person, text: str) -> httpx.Response:
            return person.client.post(path, json={"code": text})

        for number in range(2, 2 + TRIES):
            answer = tried(guesser, f"OWL-AAAA-AAAA-AAA{number}")
            refused(answer, 404, "RESOURCE_NOT_FOUND")
        limited(tried(guesser, str(code["code"])))
        with guarded.someone() as other:
            ok(tried(other, str(code["code"])))


def test_an_admin_opens_an_account_that_guessing_has_closed(database_url: str) -> None:
    throttles = Config(
        login_pair=Limit(100, 900, "doubling"), login_account=Limit(TRIES, 900, "quiet")
    )
    with (
        LiveApi(database_url, throttles=throttles) as guarded,
        guarded.someone("admin") as admin,
        guarded.someone() as person,
        guarded.client() as anonymous,
    ):
        login = {"email": person.email, "password": PASSWORD}
        for _ in range(TRIES):
            anonymous.post("/api/auth/login", json=login | {"password": "wrong password"})
        limited(anonymous.post("/api/auth/login", json=login))
        path = f"/api/admin/users/{person.user_id}"
        ok(admin.client.put(path, json={"is_active": True}))
        ok(anonymous.post("/api/auth/login", json=login))
