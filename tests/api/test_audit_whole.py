"""The whole log over HTTP: bundles, sums and proofs are those of the command line."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
import pytest

from api import long_answers, long_looks
from domain.audit.checkpoint import opened
from domain.audit.rotation import KeyChain
from projections.audit.bundle import Bundle
from projections.audit.export import Stretch, export
from projections.audit.signature import is_signed
from projections.audit.stored import StoredLog
from tests.api.live import LiveApi, Person, field_errors, ok, refused
from tests.audit.conftest import KEY, sign_all, verifier_key

EXPORTS = "/api/audit/exports"


@pytest.fixture(scope="module")
def story(api: LiveApi, admin: Person) -> Iterator[str]:
    """Somebody with money and a task; all of it signed."""
    with api.someone() as person:
        path = f"/api/admin/users/{person.user_id}"
        ok(admin.client.put(path, json={"balance": 250.5}))
        ok(person.client.post("/api/tasks", json={"title": "x", "task_type": "test"}))
        for _ in range(4):
            ok(admin.client.post("/api/recharge/codes", json={"amount": 1, "batch_size": 100}))
        asyncio.run(sign_all(api.database_url, events_max=4096))
        yield str(person.user_id)


def of_the_program(api: LiveApi, stretch: Stretch) -> bytes:
    """What `owl audit export` writes."""
    file, key = io.BytesIO(), verifier_key(api.database_url)
    with StoredLog.open(api.database_url) as log:
        keys = KeyChain.of(key, log.links(), is_signed)
        export(log, file, stretch, keys=keys, sign=KEY.sign)
    return file.getvalue()


def lines_of(person: Person, address: str) -> list[dict[str, Any]]:
    answer = person.client.get(address)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_bundle_is_that_of_the_program_to_the_byte(
    api: LiveApi, auditor: Person, story: str, tmp_path: Path, form: Any
) -> None:
    query = f"from=2&to=100&format={form}&withhold=accounts.*,wallet.*"
    answer = auditor.client.get(f"{EXPORTS}?{query}")
    assert answer.status_code == 200, answer.text
    tags = ("accounts.*", "wallet.*")
    stretch = Stretch(first=2, last=100, withhold=tags, form=form)
    assert answer.content == of_the_program(api, stretch)
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert 'filename="owl-2-100.owlb"' in answer.headers["content-disposition"]
    path = tmp_path / "a.owlb"
    path.write_bytes(answer.content)
    with Bundle(path, verifier_key(api.database_url)) as bundle:
        bundle.verify()
        assert bundle.manifest.withheld > 0
    again = auditor.client.get(f"{EXPORTS}?{query}")
    assert again.headers["etag"] == answer.headers["etag"]


def test_without_bounds_it_is_all_that_is_signed(
    api: LiveApi, auditor: Person, story: str
) -> None:
    with StoredLog.open(api.database_url) as log:
        signed = log.signed_size()
    whole = auditor.client.get(EXPORTS).content
    assert whole == of_the_program(api, Stretch(first=1, last=signed))


def test_a_download_that_broke_off_goes_on(auditor: Person, story: str) -> None:
    address = f"{EXPORTS}?from=1&to=50"
    whole = auditor.client.get(address)
    content, etag = whole.content, whole.headers["etag"]
    for given, wanted in (
        ("bytes=100-", content[100:]),
        ("bytes=0-511", content[:512]),
        ("bytes=-7", content[-7:]),
        (f"bytes=5-{10**9}", content[5:]),
    ):
        headers = {"Range": given, "If-Range": etag}
        part = auditor.client.get(address, headers=headers)
        assert (part.status_code, part.content) == (206, wanted)
        assert part.headers["content-range"].endswith(f"/{len(content)}")
    for headers in (
        {"Range": "bytes=5-", "If-Range": '"another"'},
        {"Range": f"bytes={len(content)}-"},
        {"Range": "bytes=0-1,5-6"},
        {"Range": "lines=5-"},
    ):
        answer = auditor.client.get(address, headers=headers)
        assert (answer.status_code, answer.content) == (200, content)


def test_what_cannot_be_handed_over_is_said_in_words(
    api: LiveApi, auditor: Person, story: str
) -> None:
    with StoredLog.open(api.database_url) as log:
        beyond = log.head() + 1_000
    for name in ("from", "to"):
        wrong = field_errors(auditor.client.get(f"{EXPORTS}?{name}={beyond}"))
        assert beyond - 1_000 <= int("".join(filter(str.isdigit, wrong[name][0]))) < beyond
    assert "9" in field_errors(auditor.client.get(f"{EXPORTS}?from=9&to=8"))["to"][0]
    later = auditor.client.get(f"{EXPORTS}?from=2099-01-01T00:00:00Z")
    refused(later, 409, "INVALID_STATE")
    assert set(field_errors(auditor.client.get(f"{EXPORTS}?to=1000001"))) == {"from"}
    assert set(field_errors(auditor.client.get(f"{EXPORTS}?withhold=a b"))) == {"withhold"}
    assert set(field_errors(auditor.client.get(f"{EXPORTS}?format=zip"))) == {"format"}
    assert not any(api.app.state.long_looks.under_way.values())


def test_a_log_that_is_not_what_was_signed_is_not_handed_over(fresh_api: LiveApi) -> None:
    with fresh_api.someone("auditor") as auditor:
        asyncio.run(sign_all(fresh_api.database_url))
        change = "UPDATE owl_log.events SET actor = {} WHERE notification_id = 1"
        fresh_api.execute("ALTER TABLE owl_log.events DISABLE TRIGGER USER")
        before = fresh_api.rows("SELECT actor FROM owl_log.events WHERE notification_id = 1")
        fresh_api.execute(change.format("'admin:somebody-else'"))
        answer = auditor.client.get(f"{EXPORTS}?to=1")
        assert "owl audit verify" in answer.json()["message"]
        refused(answer, 409, "INVALID_STATE")
        (report,) = [
            each for each in lines_of(auditor, "/api/audit/verify") if "report" in each
        ]
        assert report["report"]["is_right"] is False
        assert report["report"]["findings"][0]["position"] == 1
        fresh_api.execute(change.format(f"'{before[0][0]}'"))


def test_the_sums_are_those_of_the_program_and_signed(
    api: LiveApi, auditor: Person, story: str
) -> None:
    *progress, last = lines_of(auditor, "/api/audit/reconcile")
    assert progress[-1].keys() == {"position", "of", "events_per_s", "eta_s"}
    report = last["report"]
    assert report["is_right"] is True
    assert report["findings"] == []
    assert report["compared"].keys() == {"users", "recharge_codes"}
    text = opened(last["certificate"], verifier_key(api.database_url), is_signed)
    origin, position, summary = text.splitlines()
    assert origin == verifier_key(api.database_url).name
    assert int(position) == report["position"]
    assert json.loads(summary) == report
    early = lines_of(auditor, "/api/audit/reconcile?at=3")[-1]["report"]
    assert early["position"] == 3


def test_the_log_is_verified_while_somebody_waits(auditor: Person, story: str) -> None:
    report = lines_of(auditor, "/api/audit/verify")[-1]["report"]
    assert report["is_right"] is True
    assert report["signed"] > 400
    since = lines_of(auditor, f"/api/audit/verify?since={report['signed']}")[-1]["report"]
    assert since["is_right"] is True


def test_one_account_is_reconciled_at_once(api: LiveApi, auditor: Person, story: str) -> None:
    address = f"/api/audit/reconcile/{story}"
    found = ok(auditor.client.get(address))
    assert found["is_right"] is True
    assert found["checks"] == ["R1", "R2", "R3"]
    assert found["available_fen"] + found["held_fen"] == 25_050
    assert found["compared_at"] >= found["moved_at"] > 0
    early = ok(auditor.client.get(f"{address}?at={found['moved_at'] - 1}"))
    assert early["checks"] == ["R1", "R3"]
    assert early["available_fen"] + early["held_fen"] == 25_050
    assert early["events"] == found["events"] - 1
    refused(auditor.client.get(f"/api/audit/reconcile/{uuid4()}"), 404, "RESOURCE_NOT_FOUND")


def test_an_account_that_is_shown_otherwise_is_found(fresh_api: LiveApi) -> None:
    with fresh_api.someone("auditor") as auditor:
        address = f"/api/audit/reconcile/{auditor.user_id}"
        fresh_api.until(lambda: auditor.client.get(address).status_code == 200)
        fresh_api.execute("UPDATE read.users SET balance_fen = 1, granted_fen = 1")
        found = ok(auditor.client.get(address))
        fresh_api.execute("UPDATE read.users SET balance_fen = 0, granted_fen = 0")
        assert found["is_right"] is False
        assert [each["check"] for each in found["findings"]] == ["R2"]


def test_each_is_one_event_before_its_answer(api: LiveApi, auditor: Person, story: str) -> None:
    def many() -> int:
        return int(api.rows("SELECT count(*) FROM owl_log.events")[0][0])

    before = many()
    for address in ("exports?to=5", "reconcile?at=5", f"reconcile/{story}", "verify?since=5"):
        answer = auditor.client.get(f"/api/audit/{address}")
        assert answer.status_code == 200
        event = int(answer.headers["owl-position"])
        found = ok(auditor.client.get(f"/api/audit/events/{event}"))["event"]
        assert found["tag"] == "system.audit_accessed/1"
        assert found["fact"]["asked"].startswith(f"/api/audit/{address.partition('?')[0]}")
    assert many() == before + 8


def test_there_are_so_many_at_once_and_no_more(
    api: LiveApi, auditor: Person, story: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(long_looks.MOST, "fold", 0)
    answer = auditor.client.get("/api/audit/reconcile")
    refused(answer, 429, "RATE_LIMITED")
    assert int(answer.headers["retry-after"]) > 0
    assert auditor.client.get(f"{EXPORTS}?to=5").status_code == 200


def children() -> list[psutil.Process]:
    found = []
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # a zombie is none, too
            if "api.programs.long_work" in each.cmdline():
                found.append(each)
    return found


def seen() -> list[psutil.Process]:
    """Those that work, at the first look: at a second one they may be done."""
    while not (found := children()):
        pass
    return found


def test_who_leaves_takes_the_work_along(api: LiveApi, auditor: Person, story: str) -> None:
    address = urlsplit(api.url)
    api.until(lambda: not children())  # one of before may end a moment after its last byte
    with socket.create_connection((address.hostname, address.port)) as wire:
        head = f"GET {EXPORTS} HTTP/1.1\r\nHost: owl\r\nAuthorization: Bearer {auditor.token}"
        wire.sendall(f"{head}\r\n\r\n".encode())
        seen()[0].suspend()
    api.until(lambda: not children())
    api.until(lambda: not any(api.app.state.long_looks.under_way.values()))


def test_a_child_that_dies_is_an_outage(api: LiveApi, auditor: Person, story: str) -> None:
    answers: list[Any] = []

    def ask() -> None:
        answers.append(auditor.client.get(EXPORTS))

    asking = threading.Thread(target=ask)
    asking.start()
    for child in seen():
        child.kill()
    asking.join(20)
    refused(answers[0], 503, "SERVER_UNAVAILABLE")


def test_who_reads_nothing_is_cut_off_and_that_is_no_error(
    fresh_api: LiveApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(long_answers, "SLOW_S", 0.3)
    fresh_api._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    looks, address = fresh_api.app.state.long_looks, urlsplit(fresh_api.url)
    body = {"amount": 1, "batch_size": 100, "description": "x" * 400}
    with (
        fresh_api.someone("admin") as admin,
        socket.socket() as wire,
        caplog.at_level(logging.INFO),
    ):
        for _ in range(4):
            ok(admin.client.post("/api/recharge/codes", json=body))
        asyncio.run(sign_all(fresh_api.database_url, events_max=4096))
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.connect((address.hostname, address.port))
        head = f"GET {EXPORTS} HTTP/1.1\r\nHost: owl\r\nAuthorization: Bearer {admin.token}"
        wire.sendall(f"{head}\r\n\r\n".encode())
        fresh_api.until(lambda: looks.under_way["export"])
        fresh_api.until(lambda: not looks.under_way["export"])
        received = b"".join(iter(lambda: wire.recv(1 << 16), b""))
    length = re.search(rb"content-length: (\d+)", received)
    assert length is not None
    assert len(received) < int(length[1])
    assert [each.message for each in caplog.records if each.levelno >= logging.ERROR] == []


def test_only_who_may_read_everything_may_ask(user: Person, story: str) -> None:
    for address in (EXPORTS, "/api/audit/reconcile", "/api/audit/verify"):
        refused(user.client.get(address), 403, "ACCESS_DENIED")
