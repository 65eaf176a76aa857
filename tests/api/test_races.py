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

from tests.api.live import LiveApi, Person, ok

CLIENTS = 64
CODES = 100
ASKED_AT_MOST = 20
FREE = {"title": "x", "task_type": "test"}


@pytest.fixture
def two(database_url: str) -> Iterator[tuple[LiveApi, LiveApi]]:
    with LiveApi(database_url) as one, LiveApi(database_url) as other:
        yield one, other


def at_once(work: Sequence[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(lambda each: each(), work))


def redeemed(client: httpx.Client, code: str) -> str:
    """What comes of it; told that the server is busy, the client asks the same again."""
    key = {"Idempotency-Key": str(uuid4())}
    said = "SERVER_UNAVAILABLE"
    for _ in range(ASKED_AT_MOST):
        answer = client.post("/api/recharge/redeem", json={"code": code}, headers=key)
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
        clients = [
            stack.enter_context(api.client(person.token))
            for _, api in zip(range(CLIENTS), cycle(two), strict=False)
        ]
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


def test_a_write_is_seen_by_the_other_server_at_once(two: tuple[LiveApi, LiveApi]) -> None:
    with two[0].someone() as person, two[1].client(person.token) as elsewhere:
        for count in range(1, 6):
            answer = person.client.post("/api/tasks", json=FREE)
            ok(answer)
            position = answer.headers["owl-position"]
            page = elsewhere.get("/api/tasks", headers={"Owl-Min-Position": position})
            assert ok(page)["total"] == count
