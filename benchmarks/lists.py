"""Row 12: no endpoint slows with history: lists, stats, logs, at 10⁶ tasks over 10³.

The same program serves two farms (``farms``), one with a thousand tasks behind it and one with
a million, from two databases of one server. A question is put to both in turn over a connection
each, request by request, so that a noisy moment hits both alike; what is compared is the lower
quartile of the times of an answer, for noise only ever adds. Both farms answer with equally
many items, or the comparison is refused.

Beside the ratios: the deepest page that the contract allows, in ms, on the large farm alone.
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote
from uuid import UUID

from api.clock import new_id, now
from api.security import Tokens
from benchmarks.farms import ADMIN, BIG, LONG_TASK, SMALL, write_farm
from benchmarks.http import CONFIG, ours, request, serve
from benchmarks.measure import Options, Ratio, measure, options, tell
from tests.stack import LiveStack, live_stack

TASKS: Final = {"small": 1_000, "large": 1_000_000}
WARMING = 12
"""Questions before the first round: connections are open, statements prepared and planned."""
STARTING_S: Final = 20
FEWEST: Final = 8
"""Answers of each farm in a round, however slow the machine is."""
DEEP: Final = (
    "/api/tasks?user_id=all&page=10000&page_size=100",
    "/api/tasks?user_id=all&page=10000&page_size=100&sort_by=updated_at",
)
RARE, FAILED = "task_type=test", "status=failed"
LISTS: Final = tuple(
    "&".join(parts)
    for parts in (
        ("page=1",),
        ("page=2", "page_size=10"),
        (FAILED,),
        ("status=running",),
        (RARE,),
        (FAILED, "task_type=video_analysis"),
        ("status=completed", RARE),
        ("sort_by=updated_at",),
        ("sort_by=priority", "sort_order=asc"),
        ("sort_by=updated_at", "sort_order=asc", RARE),
        ("sort_by=priority", FAILED),
    )
)


def questions() -> Iterator[tuple[UUID, str]]:
    """Who asks, and what: a user with half of all tasks, and an administrator.

    ``{ended}``, ``{waiting}`` and ``{server}`` stand for ids, which each farm has its own of.
    """
    yield BIG, "/api/users/me"
    yield BIG, "/api/users/stats"
    for filters in LISTS:
        yield BIG, f"/api/tasks?{filters}"
        yield ADMIN, f"/api/tasks?user_id=all&{filters}"
    yield ADMIN, f"/api/tasks?user_id={SMALL}&page_size=3"
    for task in ("{ended}", "{waiting}"):
        yield BIG, f"/api/tasks/{task}"
        yield BIG, f"/api/logs/tasks/{task}"
    for page in (1, 250, 500):
        yield BIG, f"/api/logs/tasks/{LONG_TASK}?page={page}&page_size=200"
    yield BIG, "/api/recharge/records"
    for rest in ("", "/{server}", "/{server}/status"):
        yield BIG, f"/api/gpu/servers{rest}"
    yield BIG, "/api/gpu/cluster/overview"
    yield ADMIN, "/api/admin/stats"
    for filters in ("page=1", "role=user", "is_active=false", "role=admin&is_active=true"):
        yield ADMIN, f"/api/admin/users?{filters}&page_size=4"
    for filters in ("", *(f"?status={s}" for s in ("active", "used", "expired", "revoked"))):
        yield ADMIN, f"/api/recharge/codes{filters}"
    today = datetime.now(UTC).date()
    yesterday = today - timedelta(days=1)
    for filters in ("", f"?user_id={BIG}", f"?start_date={yesterday}&end_date={yesterday}"):
        yield ADMIN, f"/api/logs/user-actions{filters}"
    month = f"start_date={today - timedelta(days=29)}&end_date={today}"
    for filters in ("", "?level=ERROR", f"?{month}", f"?search={quote('队列已满')}"):
        yield ADMIN, f"/api/logs/system{filters}"
    yield ADMIN, "/api/logs/download?log_type=tasks&task_id={ended}"


class Line:
    """One connection on which one question is asked after another."""

    def __init__(self, port: int) -> None:
        ends = time.monotonic() + STARTING_S
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", port))
                break
            except ConnectionRefusedError:
                if time.monotonic() > ends:
                    raise
                time.sleep(0.05)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, question: bytes) -> bytes:
        """The body of the answer.

        Raises:
            RuntimeError: the answer is not 200.
        """
        self._socket.sendall(question)
        answer = b""
        while not (head := answer.partition(b"\r\n\r\n"))[1]:
            answer += self._received()
        if answer[9:12] != b"200":
            raise RuntimeError(answer.decode())
        if b"transfer-encoding: chunked" in head[0]:
            while not answer.endswith(b"0\r\n\r\n"):
                answer += self._received()
            return answer[len(head[0]) + 4 :]
        at = answer.find(b"content-length: ") + 16
        whole = len(head[0]) + 4 + int(answer[at : answer.find(b"\r\n", at)])
        while len(answer) < whole:
            answer += self._received()
        return answer[len(head[0]) + 4 :]

    def _received(self) -> bytes:
        received = self._socket.recv(1 << 20)
        if not received:
            raise ConnectionError("the server closed the connection")
        return received


class Pair:
    """One question to both farms."""

    def __init__(
        self, name: str, questions: dict[str, bytes], lines: dict[str, Line], seconds: float
    ) -> None:
        self._questions = questions
        self._lines = lines
        self._seconds = seconds
        self._took_ms: dict[str, float] = {}
        lengths = {farm: items_of(line.ask(questions[farm])) for farm, line in lines.items()}
        if len(set(lengths.values())) > 1:
            raise RuntimeError(f"{name}: the farms do not answer alike: {lengths}")
        for _ in range(WARMING):
            for farm, line in lines.items():
                line.ask(questions[farm])

    def small(self) -> float:
        """Ask both in turn; ms on the small farm."""
        took: dict[str, list[float]] = {farm: [] for farm in self._lines}
        ends = time.perf_counter() + self._seconds
        while time.perf_counter() < ends or len(took["small"]) < FEWEST:
            for farm, line in self._lines.items():
                began = time.perf_counter()
                line.ask(self._questions[farm])
                took[farm].append((time.perf_counter() - began) * 1_000)
        self._took_ms = {farm: statistics.quantiles(each)[0] for farm, each in took.items()}
        return self._took_ms["small"]

    def large(self) -> float:
        """What it was on the large farm, ms."""
        return self._took_ms["large"]


def items_of(body: bytes) -> int | None:
    """How many items an answer has; ``None`` if it is no list."""
    if not body.startswith(b"{"):
        return None
    data = json.loads(body)["data"]
    return len(data["items"]) if isinstance(data, dict) and "items" in data else None


@contextmanager
def served(stack: LiveStack) -> Iterator[dict[str, int]]:
    """Both farms, each behind a server process of its own; the ports."""
    spawn = multiprocessing.get_context("spawn")
    processes = []
    ports = {}
    for farm, tasks in TASKS.items():
        database_url = stack.create_database()
        began = time.perf_counter()
        write_farm(database_url, tasks)
        print(f"a farm of {tasks:,} tasks in {time.perf_counter() - began:.0f} s")
        here, there = spawn.Pipe()
        process = spawn.Process(
            target=serve, args=(ours, database_url, stack.nats_url, there), daemon=True
        )
        process.start()
        there.close()  # so that a server which dies is heard of
        processes.append((process, here))
        ports[farm] = int(here.recv())
    try:
        yield ports
    finally:
        for process, here in processes:
            here.send(None)
            process.join(10)


def ids_on(line: Line, token: str) -> dict[str, str]:
    """What ``questions`` name, on one farm."""

    def first(path: str) -> str:
        data = json.loads(line.ask(request("GET", path, token)))["data"]
        items = data if isinstance(data, list) else data["items"]
        return str(items[0]["id"])

    return {
        "ended": first("/api/tasks?status=completed&sort_order=asc&page=2"),
        "waiting": first("/api/tasks?status=pending"),
        "server": first("/api/gpu/servers"),
    }


def main(chosen: Options) -> None:
    """Fill both, ask both, tell."""
    tokens = Tokens(CONFIG.token_keys, lifetime_s=6 * 3_600)
    issued = {who: tokens.issue(who, 1, now=now(), token_id=new_id()) for who in (BIG, ADMIN)}
    with ExitStack() as open_:
        ports = open_.enter_context(served(open_.enter_context(live_stack(profile="durable"))))
        lines = {farm: Line(port) for farm, port in ports.items()}
        ids = {farm: ids_on(line, issued[BIG]) for farm, line in lines.items()}
        contestants: dict[str, Callable[[], float]] = {}
        ratios = []
        for who, path in questions():
            name = f"{'admin' if who == ADMIN else 'user'} {path}"
            if chosen.only not in name:
                continue
            asked = {
                farm: request("GET", path.format(**ids[farm]), issued[who]) for farm in ports
            }
            pair = Pair(name, asked, lines, chosen.seconds)
            ratio = Ratio(
                row=12,
                name=name,
                ours=f"{name}, ms at 10⁶",
                other=f"{name}, ms at 10³",
                target=1.15,
                moonshot=1.05,
                less_is_better=True,
            )
            ratios.append(ratio)
            contestants |= {ratio.other: pair.small, ratio.ours: pair.large}
        for path in DEEP:
            if chosen.only not in path:
                continue
            question = request("GET", path, issued[ADMIN])
            contestants[f"{path}, ms at 10⁶"] = lambda question=question: took_ms(  # type: ignore[misc]
                lines["large"], question
            )
        tell(measure(contestants, ratios, chosen), chosen)


def took_ms(line: Line, question: bytes) -> float:
    """One answer."""
    began = time.perf_counter()
    line.ask(question)
    return (time.perf_counter() - began) * 1_000


if __name__ == "__main__":
    only = "only the endpoints whose address has this text"
    main(options(__doc__ or "", rounds=5, seconds=0.4, only=only))
