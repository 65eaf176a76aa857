"""Two API processes on one database, many clients: exact results, not nearly."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from tests.whole.farm import Client, Farm, new_name
from tests.whole.processes import wait_for

CLIENTS = 64
CODES = 20


def test_codes_raced_by_all_pay_what_they_promised_and_no_more(farm: Farm) -> None:
    uses = 3
    codes = farm.codes(amount=1, batch_size=CODES, max_uses=uses)
    with ThreadPoolExecutor(8) as makers:
        users = list(makers.map(lambda n: farm.user(new_name(), number=n % 2), range(CLIENTS)))
    outcomes: Counter[str] = Counter()
    tally = threading.Lock()

    def race(number: int) -> None:
        # each user walks the codes from another place, so that all codes are fought over
        mine = Counter(
            redeem(users[number], codes[(number * 7 + step) % CODES]) for step in range(CODES)
        )
        with tally:
            outcomes.update(mine)

    with ThreadPoolExecutor(CLIENTS) as racers:
        list(racers.map(race, range(CLIENTS)))
    assert outcomes == {"ok": CODES * uses, "CODE_EXHAUSTED": CODES * (CLIENTS - uses)}
    balances = sum(user.ask("GET", "/users/me")["balance"] for user in users)
    assert round(balances, 2) == CODES * uses


def test_one_user_never_has_more_open_tasks_than_allowed(farm: Farm) -> None:
    user = farm.user(new_name())
    token = user.http.headers["Authorization"].removeprefix("Bearer ")
    sessions = [farm.client(number % 2, token) for number in range(16)]
    with ThreadPoolExecutor(16) as racers:
        codes = Counter(racers.map(submit_slow, sessions))
    assert codes == {"ok": 5, "TASK_LIMIT_EXCEEDED": 11}
    for task in user.ask("GET", "/tasks")["items"]:
        user.ask("POST", f"/tasks/{task['id']}/cancel")
        user.ended(task["id"])


def redeem(user: Client, code: str) -> str:
    """What comes of it; told that the server is busy, the user asks the same again."""
    headers = {"Idempotency-Key": str(uuid4())}

    def ask() -> str | None:
        answer = user.http.post("/recharge/redeem", json={"code": code}, headers=headers).json()
        refusal: str | None = answer["error_code"]
        return None if refusal == "SERVER_UNAVAILABLE" else refusal or "ok"

    return str(wait_for(ask, "a redeem is answered"))


def submit_slow(session: Client) -> str:
    body = {"title": "race", "task_type": "test", "config": {"seconds": 30}}
    answer = session.http.post("/tasks", json=body).json()
    return answer["error_code"] or "ok"
