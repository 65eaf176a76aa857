"""Many clients at once on two servers over one database: every count is exact."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.live import PASSWORD, LiveApi, Person, ok, refused

CLIENTS = 64
CODES = 100
ASKED_AT_MOST = 20
FREE = {"title": "x", "task_type": "test"}
VIDEO = {
    "title": "x",
    "task_type": "video_analysis",
    "config": {"video_url": "https://example.com/video.mp4"},
}


@pytest.fixture
def two(database_url: str) -> Iterator[tuple[LiveApi, LiveApi]]:
    with LiveApi(database_url) as one, LiveApi(database_url) as other:
        yield one, other


def at_once(work: Sequence[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(lambda each: each(), work))


def several(stack: ExitStack, two: tuple[LiveApi, LiveApi], token: str) -> list[httpx.Client]:
    """Clients of one person, half of them at each server."""
    return [
        stack.enter_context(api.client(token))
        for _, api in zip(range(CLIENTS), cycle(two), strict=False)
    ]


def redeemed(client: httpx.Client, code: str) -> str:
    """What comes of it."""
    return asked_until_told(client, "/api/recharge/redeem", {"code": code})


def asked_until_told(client: httpx.Client, path: str, body: Any) -> str:
    """What comes of it; told that the server is busy, the client asks the same again."""
    key = {"Idempotency-Key": str(uuid4())}
    said = "SERVER_UNAVAILABLE"
    for _ in range(ASKED_AT_MOST):
        answer = client.post(path, json=body, headers=key)
        said = answer.json()["error_code"] or "OK"
        if said != "SERVER_UNAVAILABLE":
            break
    return said


def test_codes_raced_by_everybody_pay_exactly_what_they_promise(
    two: tuple[LiveApi, LiveApi],
) -> None:
    uses = 2
    with ExitStack() as stack:
        admin = stack.enter_context(two[0].someone("admin"))
        batch = {"amount": 1.5, "batch_size": CODES, "max_uses": uses}
        codes = [
            code["code"]
            for code in ok(admin.client.post("/api/recharge/codes", json=batch))["codes"]
        ]
        people = [stack.enter_context(two[0].someone()) for _ in range(8)]
        clients = [
            stack.enter_context(api.client(person.token))
            for person, api in zip(people * 8, cycle(two), strict=False)
        ]
        assert len(clients) == CLIENTS

        def redeem(client: httpx.Client, share: int) -> Counter[str]:
            answers: Counter[str] = Counter()
            for code in codes[share::8]:
                answers[redeemed(client, code)] += 1
            return answers

        work = [partial(redeem, client, number // 8) for number, client in enumerate(clients)]
        total: Counter[str] = sum(at_once(work), Counter())
        assert total.keys() <= {"OK", "CODE_EXHAUSTED", "CODE_ALREADY_REDEEMED"}
        assert total["OK"] == CODES * uses
        balances = [person.balance() for person in people]
        assert sum(balances) == CODES * uses * 1.5
    facts = two[0].rows(
        """
        SELECT count(*), count(DISTINCT (fact ->> 'code_id', fact ->> 'user_id')),
            sum((fact ->> 'amount_fen')::bigint)
        FROM owl_log.story WHERE tag = 'recharge.code_redeemed/1'
        """
    )
    assert facts == [(CODES * uses, CODES * uses, CODES * uses * 150)]


def test_the_task_limit_holds_at_every_instant(two: tuple[LiveApi, LiveApi]) -> None:
    with ExitStack() as stack:
        person: Person = stack.enter_context(two[0].someone())
        clients = several(stack, two, person.token)
        answers = at_once([partial(client.post, "/api/tasks", json=FREE) for client in clients])
        counted = Counter(answer.json()["error_code"] or "OK" for answer in answers)
        assert counted == {"OK": 5, "TASK_LIMIT_EXCEEDED": CLIENTS - 5}
        assert ok(person.client.get("/api/tasks"))["total"] == 5


def test_one_key_sent_many_times_at_once_is_one_task(two: tuple[LiveApi, LiveApi]) -> None:
    with ExitStack() as stack:
        person = stack.enter_context(two[0].someone())
        headers = {"Idempotency-Key": "only-once"}
        clients = [
            stack.enter_context(api.client(person.token))
            for _, api in zip(range(16), cycle(two), strict=False)
        ]
        answers = at_once(
            [
                partial(client.post, "/api/tasks", json=FREE, headers=headers)
                for client in clients
            ]
        )
        assert len({ok(answer)["id"] for answer in answers}) == 1
        assert ok(person.client.get("/api/tasks"))["total"] == 1


def test_money_for_three_tasks_buys_three(two: tuple[LiveApi, LiveApi]) -> None:
    bought = 3
    with ExitStack() as stack:
        admin = stack.enter_context(two[0].someone("admin"))
        many = {"max_concurrent_tasks_per_user": CLIENTS}
        ok(admin.client.put("/api/admin/config", json=many))
        person = stack.enter_context(two[0].someone())
        clients = several(stack, two, person.token)
        ok(clients[0].post("/api/tasks", json=FREE))  # what costs nothing needs no money
        hold = price_of_one(person, admin)
        path = f"/api/admin/users/{person.user_id}"
        ok(admin.client.put(path, json={"balance": bought * hold + hold / 2}))
        answers = at_once(
            [partial(client.post, "/api/tasks", json=VIDEO) for client in clients]
        )
        counted = Counter(answer.json()["error_code"] or "OK" for answer in answers)
        assert counted == {"OK": bought, "INSUFFICIENT_BALANCE": CLIENTS - bought}
        me = ok(person.client.get("/api/users/me"))
        assert me["held_balance"] == pytest.approx(bought * hold)
        assert me["available_balance"] == pytest.approx(hold / 2)


def price_of_one(person: Person, admin: Person) -> float:
    """What is held for one task, found out by submitting it and cancelling it again."""
    ok(admin.client.put(f"/api/admin/users/{person.user_id}", json={"balance": 1000}))
    task = ok(person.client.post("/api/tasks", json=VIDEO))
    held = float(ok(person.client.get("/api/users/me"))["held_balance"])
    assert held > 0
    ok(person.client.post(f"/api/tasks/{task['id']}/cancel"))
    return held


@pytest.mark.parametrize(
    ("field", "spellings", "code"),
    [
        (
            "username",
            ["renée", "rene\u0301e", "RENÉE", "RENE\u0301E", "ｒｅｎée", "Renée"],
            "USERNAME_TAKEN",
        ),
        (
            "email",
            [
                "wanted@example.com",
                "WANTED@example.com",
                "wanted@EXAMPLE.COM",
                "Wanted@Example.com",
                "ｗａｎｔｅｄ@example.com",
                "wanted@ｅｘａｍｐｌｅ.com",
            ],
            "EMAIL_TAKEN",
        ),
        (
            "email",
            ["jos\u00e9@example.com", "jose\u0301@example.com", "JOS\u00c9@EXAMPLE.COM"],
            "EMAIL_TAKEN",
        ),
    ],
)
def test_of_all_spellings_of_a_name_one_is_registered(
    two: tuple[LiveApi, LiveApi], field: str, spellings: list[str], code: str
) -> None:
    with ExitStack() as stack:
        clients = several(stack, two, "")

        def register(number: int) -> str:
            account = {
                "email": f"racer{number}@example.com",
                "username": f"racer{number}",
                "password": PASSWORD,
            } | {field: spellings[number % len(spellings)]}
            return asked_until_told(clients[number], "/api/auth/register", account)

        answers = at_once([partial(register, number) for number in range(CLIENTS)])
    assert Counter(answers) == {"OK": 1, code: CLIENTS - 1}
    registered = two[0].rows("SELECT count(*) FROM read.users")
    assert registered == [(1,)]


def test_of_two_admins_who_demote_each_other_one_stays(two: tuple[LiveApi, LiveApi]) -> None:
    for _ in range(8):
        with two[0].someone("admin") as one, two[0].someone("admin") as other:

            def demote(api: LiveApi, who: Person, whom: Person) -> str:
                with api.client(who.token) as client:
                    path = f"/api/admin/users/{whom.user_id}"
                    code = client.put(path, json={"role": "user"}).json()["error_code"]
                    return str(code or "OK")

            answers = at_once(
                [partial(demote, two[0], one, other), partial(demote, two[1], other, one)]
            )
            assert sorted(answers) in (["ACCESS_DENIED", "OK"], ["INVALID_CREDENTIALS", "OK"])
            winner, loser = (one, other) if answers[0] == "OK" else (other, one)
            assert ok(winner.client.get("/api/users/me"))["role"] == "admin"
            refused(loser.client.get("/api/users/me"), 401, "INVALID_CREDENTIALS")
            with two[1].client() as anonymous:
                login = {"email": loser.email, "password": PASSWORD}
                data = ok(anonymous.post("/api/auth/login", json=login))
            assert data["user"]["role"] == "user"


def test_one_key_redeems_once_however_often_it_is_sent(two: tuple[LiveApi, LiveApi]) -> None:
    with ExitStack() as stack:
        admin = stack.enter_context(two[0].someone("admin"))
        person = stack.enter_context(two[0].someone())
        batch = {"amount": 7, "max_uses": 5}
        code = ok(admin.client.post("/api/recharge/codes", json=batch))["codes"][0]["code"]
        headers = {"Idempotency-Key": "the-same-for-all"}
        sends = [
            partial(client.post, "/api/recharge/redeem", json={"code": code}, headers=headers)
            for client in several(stack, two, person.token)
        ]
        records = {ok(answer)["recharge_record_id"] for answer in at_once(sends)}
        assert len(records) == 1
        assert person.balance() == 7


def test_a_write_is_seen_by_the_other_server_at_once(two: tuple[LiveApi, LiveApi]) -> None:
    with two[0].someone() as person, two[1].client(person.token) as elsewhere:
        for count in range(1, 6):
            answer = person.client.post("/api/tasks", json=FREE)
            ok(answer)
            position = answer.headers["owl-position"]
            page = elsewhere.get("/api/tasks", headers={"Owl-Min-Position": position})
            assert ok(page)["total"] == count
