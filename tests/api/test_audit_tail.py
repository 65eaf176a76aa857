"""The log as it grows: every event once, in order, however often one comes back."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from msgspec.structs import replace

from api.tails import Config
from tests.api.live import PASSWORD, LiveApi, Person, field_errors, ok, refused

STREAM = "/api/audit/events/stream"
ARE_OVER = """
    SELECT count(*) FILTER (WHERE topic = 'system.audit_tail_ended/1')
        = count(*) FILTER (WHERE owl_log.readable(state) ->> 'asked' LIKE '%/events/stream%')
    FROM owl_log.events WHERE topic IN ('system.audit_tail_ended/1', 'system.audit_accessed/1')
"""


@pytest.fixture(autouse=True)
def over(api: LiveApi) -> Iterator[None]:
    """A test ends when its tails have: their ends are events that come after the answers."""
    yield
    api.until(lambda: api.rows(ARE_OVER) == [(True,)])


class Follower:
    """A client that takes server-sent events one by one."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()
        self.last_id = ""

    def next(self) -> dict[str, Any]:
        """The next event; ``{"end": reason}`` is the last one."""
        name, data = "message", ""
        for line in self._lines:
            field, _, value = line.partition(": ")
            if field == "id":
                self.last_id = value
            elif field == "event":
                name = value
            elif field == "data":
                data = value
            elif not line and data:
                found = json.loads(data)
                return {"end": found["reason"]} if name == "end" else found
        raise EOFError

    def alive(self) -> int:
        """The position that the next sign of life tells."""
        for line in self._lines:
            if line == ": still here":
                return int(next(self._lines).removeprefix("id: "))
        raise EOFError

    def take(self, many: int) -> list[dict[str, Any]]:
        return [self.next() for _ in range(many)]

    def rest(self) -> list[dict[str, Any]]:
        found = []
        while True:
            try:
                found.append(self.next())
            except EOFError:
                return found


@contextmanager
def following(person: Person, query: str = "", **headers: str) -> Iterator[Follower]:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    with person.client.stream("GET", f"{STREAM}?{query}", headers=headers) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Follower(response)


@contextmanager
def bounds(api: LiveApi, **changed: Any) -> Iterator[None]:
    tails = api.app.state.tails
    before: Config = tails.config
    tails.config = replace(before, **changed)
    try:
        yield
    finally:
        tails.config = before


def happen(api: LiveApi, admin: Person, times: int = 1) -> None:
    for _ in range(times):
        ok(admin.client.post("/api/recharge/codes", json={"amount": 1}))


def tags(api: LiveApi) -> list[str]:
    rows = api.rows("SELECT topic FROM owl_log.events ORDER BY notification_id")
    return [row[0] for row in rows]


def test_what_happens_is_told_once_and_in_order(
    api: LiveApi, admin: Person, auditor: Person
) -> None:
    with following(auditor) as follower:
        happen(api, admin, 3)
        found = follower.take(3)
    assert [each["tag"] for each in found] == ["recharge.code_issued/1"] * 3
    positions = [each["position"] for each in found]
    assert positions == list(range(positions[0], positions[0] + 3))
    assert follower.last_id == str(positions[-1])


def test_who_comes_back_goes_on_without_gap_or_duplicate(
    api: LiveApi, admin: Person, auditor: Person
) -> None:
    found = []
    happen(api, admin, 5)
    last = "0"
    for many in (1, 2, 3, 4, 5, 6):
        with following(auditor, Last_Event_ID=last) as follower:
            found += follower.take(many)
            last = follower.last_id
        happen(api, admin)
    assert [each["position"] for each in found] == list(range(1, len(found) + 1))
    assert [each["tag"] for each in found] == tags(api)[: len(found)]


def test_after_is_as_good_and_the_header_counts_more(api: LiveApi, auditor: Person) -> None:
    with following(auditor, "after=2") as follower:
        assert follower.next()["position"] == 3
    with following(auditor, "after=2", Last_Event_ID="4") as follower:
        assert follower.next()["position"] == 5
    answer = auditor.client.get(STREAM, headers={"Last-Event-ID": "four"})
    assert set(field_errors(answer)) == {"Last-Event-ID"}


def test_a_filter_lets_through_what_matches(
    api: LiveApi, admin: Person, auditor: Person
) -> None:
    with following(auditor, "type=recharge.*&after=0") as follower:
        happen(api, admin)
        wanted = [at for at, tag in enumerate(tags(api), 1) if tag.startswith("recharge.")]
        found = follower.take(len(wanted))
    assert [each["position"] for each in found] == wanted


def test_a_tail_does_not_feed_itself(api: LiveApi, admin: Person, auditor: Person) -> None:
    before = len(tags(api))
    with following(auditor, f"after={before}") as follower:
        first = follower.next()
        happen(api, admin)
        assert [first["tag"], follower.next()["tag"]] == ACCESS[:2]
    api.until(lambda: tags(api)[before:] == ACCESS)
    ended = ok(auditor.client.get(f"/api/audit/events/{before + 3}"))["event"]["fact"]
    assert (ended["reason"], ended["sent"], ended["upto"]) == ("left", 2, before + 2)


ACCESS = ["system.audit_accessed/1", "recharge.code_issued/1", "system.audit_tail_ended/1"]


def test_a_quiet_tail_says_that_it_is_alive_and_where_it_is(
    api: LiveApi, admin: Person, auditor: Person
) -> None:
    with bounds(api, heartbeat_s=0.1), following(auditor, "type=nothing.*") as follower:
        happen(api, admin)
        issued = len(tags(api))
        while follower.alive() < issued:
            pass
        assert follower.alive() == issued


def test_a_tail_ends_when_its_time_is_over(api: LiveApi, auditor: Person) -> None:
    before = len(tags(api))
    with following(auditor, "type=nothing.*&max_seconds=1") as follower:
        assert follower.rest() == [{"end": "time"}]
    api.until(lambda: tags(api)[before:] == [ACCESS[0], ACCESS[-1]])
    assert "time" in reasons(api)


def test_it_ends_soon_after_its_token_does(api: LiveApi) -> None:
    with (
        bounds(api, check_s=0.1),
        api.someone("auditor") as person,
        following(person) as follower,
    ):
        body = {"current_password": PASSWORD, "new_password": f"{PASSWORD} 2"}
        ok(person.client.post("/api/users/change-password", json=body))
        assert follower.rest()[-1] == {"end": "token"}


def test_a_role_that_is_taken_away_ends_it(api: LiveApi, admin: Person) -> None:
    with bounds(api, check_s=0.1), api.someone("auditor") as person:
        with following(person) as follower:
            path = f"/api/admin/users/{person.user_id}"
            ok(admin.client.put(path, json={"role": "user"}))
            assert follower.rest()[-1] == {"end": "token"}
        refused(person.client.get(STREAM), 401, "INVALID_CREDENTIALS")


def test_there_are_so_many_and_no_more(api: LiveApi, auditor: Person) -> None:
    api.until(lambda: api.app.state.tails.count == 0)
    with bounds(api, most=2), following(auditor), following(auditor):
        before = len(tags(api))
        answer = auditor.client.get(STREAM)
        refused(answer, 429, "RATE_LIMITED")
        assert int(answer.headers["retry-after"]) > 0
        assert len(tags(api)) == before
    api.until(lambda: api.app.state.tails.count == 0)


def test_a_reader_that_does_not_read_is_cut_off(
    api: LiveApi, admin: Person, auditor: Person, caplog: pytest.LogCaptureFixture
) -> None:
    big = {"amount": 1, "batch_size": 100, "description": "x" * 400}
    address = urlsplit(api.url)
    request = (
        f"GET {STREAM}?after=0 HTTP/1.1\r\nHost: owl\r\n"
        f"Authorization: Bearer {auditor.token}\r\n\r\n"
    )
    with bounds(api, slow_s=0.3), socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.connect((address.hostname, address.port))
        wire.sendall(request.encode())
        deadline = time.monotonic() + 30
        while "slow" not in reasons(api):
            assert time.monotonic() < deadline, "it was not cut off"
            ok(admin.client.post("/api/recharge/codes", json=big))
    assert api.app.state.tails.count == 0
    assert [each.message for each in caplog.records if each.levelno >= logging.ERROR] == []


def reasons(api: LiveApi) -> list[str]:
    rows = api.rows("""
        SELECT owl_log.readable(state) ->> 'reason' FROM owl_log.events
        WHERE topic = 'system.audit_tail_ended/1'
    """)
    return [row[0] for row in rows]


@pytest.mark.filterwarnings("error")
def test_a_server_that_stops_says_so_and_stops_at_once(database_url: str) -> None:
    with LiveApi(database_url) as live, live.someone("auditor") as auditor:
        with following(auditor) as follower:
            live._server.config.timeout_graceful_shutdown = 3600  # nobody is cut off by it
            live._server.should_exit = True
            assert follower.rest()[-1] == {"end": "shutdown"}
            live._thread.join(30)
            assert not live._thread.is_alive()
        assert reasons(live) == ["shutdown"]


def test_only_who_may_read_everything_may_follow(api: LiveApi, user: Person) -> None:
    refused(user.client.get(STREAM), 403, "ACCESS_DENIED")
