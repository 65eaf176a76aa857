"""What an auditor reads is what the log says, by whatever it is looked up."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest

from domain.accounts.user import USER
from domain.audit.canonical import StoredEvent, envelope_of
from domain.audit.checkpoint import checkpoint_in
from domain.audit.merkle import leaf_hash
from domain.audit.proofs import verify_inclusion
from domain.catalogue import decode
from domain.fleet.server import SERVER
from domain.ids import account_stream
from domain.recharge.code import CODE
from domain.tasks.task import TASK
from domain.wallet.wallet import WALLET
from projections.audit import entity as entities
from projections.audit.entity import Entity
from projections.audit.signature import is_signed
from projections.audit.story import Filter, entries, entry_at, head, position_at
from projections.audit.trace import trace_correlation, trace_position
from tests.audit.conftest import Notarised, Owl, answer
from tests.audit.stories import insert, played
from tests.domain.cast import ALICE, NOON

pytestmark = pytest.mark.anyio

EVENTS = played(8, 400).stored()
TASK_ID = UUID(bytes=next(e.stream for e in EVENTS if e.tag == "tasks.task_completed/1"))


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    with psycopg.connect(database_url) as writing:
        insert(writing, EVENTS)
    async with await psycopg.AsyncConnection.connect(
        database_url, autocommit=True, options="-c timezone=UTC"
    ) as reading:
        yield reading


def amounts(event: StoredEvent) -> list[int]:
    fact = decode(event.state)
    names = ("amount_fen", "delta_fen", "charged_fen", "cost_fen", "hold_fen")
    return [abs(getattr(fact, name)) for name in names if hasattr(fact, name)]


def nothing(_event: StoredEvent) -> bool:
    return False


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        (Filter(), bool),
        (Filter(after=100, until=200), lambda e: 100 < e.position <= 200),
        (Filter(tag="wallet.*"), lambda e: e.tag.startswith("wallet.")),
        (Filter(tag="tasks.task_failed/1"), lambda e: e.tag == "tasks.task_failed/1"),
        (Filter(tag="tasks%"), nothing),
        (Filter(streams=(TASK_ID,)), lambda e: e.stream == TASK_ID.bytes),
        (Filter(actor="user:*"), bool),
        (Filter(actor="agent:*"), nothing),
        (Filter(correlation="request-3"), lambda e: e.correlation == "request-3"),
        (
            Filter(user_id=ALICE),
            lambda e: getattr(decode(e.state), "user_id", None) == ALICE,
        ),
        (Filter(amount_fen=5_000), lambda e: any(a >= 5_000 for a in amounts(e))),
    ],
)
async def test_filters_find_what_matches_and_nothing_else(
    connection: psycopg.AsyncConnection[Any],
    wanted: Filter,
    matches: Callable[[StoredEvent], bool],
) -> None:
    found = await entries(connection, wanted, 1_000)
    assert [each.position for each in found] == [e.position for e in EVENTS if matches(e)]


async def test_an_entry_is_the_stored_event(connection: psycopg.AsyncConnection[Any]) -> None:
    event = EVENTS[41]
    found = await entry_at(connection, 42)
    assert found is not None
    assert (found.stream.bytes, found.version, found.tag) == event[1:4]
    assert bytes(found.fact) == event.state
    assert await entry_at(connection, 10_000) is None
    assert await head(connection) == len(EVENTS)


async def test_a_time_is_the_last_position_recorded_by_then(
    connection: psycopg.AsyncConnection[Any],
) -> None:
    start = round(NOON.timestamp() * 1_000_000)
    for seconds in (-1.0, 0, 0.5, 1, 7, 100.25, 10_000):
        moment = NOON + timedelta(seconds=seconds)
        by_then = [e for e in EVENTS if e.recorded_at_us - start <= seconds * 1_000_000]
        assert await position_at(connection, moment) == len(by_then)


def folded(decider: Any, stream: bytes, at: int, prefix: str) -> dict[str, Any]:
    """What the events up to ``at`` fold into, field by field, worked out anew."""
    facts = [decode(event.state) for event in EVENTS[:at] if event.stream == stream]
    if not facts:
        return {}
    fields = msgspec.structs.asdict(decider.fold(facts))
    if "redeemed_by" in fields:
        fields["used_count"] = len(fields.pop("redeemed_by"))
    return {f"{prefix}.{name}": msgspec.to_builtins(fields[name]) for name in fields}


async def test_a_state_at_any_position_is_the_fold_of_the_events_until_then(
    connection: psycopg.AsyncConnection[Any],
) -> None:
    first = {e.tag: e.stream for e in reversed(EVENTS)}
    server, code = first["fleet.server_registered/1"], first["recharge.code_issued/1"]
    account, task = account_stream(ALICE).bytes, TASK_ID.bytes
    for at in range(0, len(EVENTS) + 1, 37):
        for entity, parts in (
            (
                Entity("user", ALICE),
                ((USER, ALICE.bytes, "user"), (WALLET, account, "account")),
            ),
            (Entity("task", TASK_ID), ((TASK, task, "task"),)),
            (Entity("server", UUID(bytes=server)), ((SERVER, server, "server"),)),
            (Entity("code", UUID(bytes=code)), ((CODE, code, "code"),)),
        ):
            shown: dict[str, Any] = {}
            for decider, stream, prefix in parts:
                shown |= folded(decider, stream, at, prefix)
            assert await entities.state(connection, entity, at) == shown


async def test_a_history_tells_each_event_and_what_it_changed(
    connection: psycopg.AsyncConnection[Any],
) -> None:
    steps = await entities.history(connection, Entity("task", TASK_ID), len(EVENTS))
    mine = [e for e in EVENTS if e.stream == TASK_ID.bytes]
    assert [step.entry.position for step in steps] == [e.position for e in mine]
    phases = [s.changes["task.phase"][1] for s in steps if "task.phase" in s.changes]
    assert phases[0] == "pending"
    assert "completed" in phases


async def test_every_kind_of_entity_has_a_state(
    connection: psycopg.AsyncConnection[Any],
) -> None:
    first = {e.tag.partition(".")[0]: UUID(bytes=e.stream) for e in reversed(EVENTS)}
    for kind, category in (("server", "fleet"), ("code", "recharge"), ("user", "accounts")):
        entity = Entity.parse(f"{kind}:{first[category]}")
        assert await entities.state(connection, entity, len(EVENTS)) != {}


async def test_the_streams_that_grew_between_two_positions_are_listed(
    connection: psycopg.AsyncConnection[Any],
) -> None:
    found = await entities.changed_streams(connection, 100, 130)
    assert {each.stream.bytes for each in found} == {e.stream for e in EVENTS[100:130]}


async def test_a_trace_holds_the_whole_request_each_event_under_its_cause(
    connection: psycopg.AsyncConnection[Any],
) -> None:
    traced = (await trace_correlation(connection, "request-6")).events
    mine = [e.position for e in EVENTS if e.correlation == "request-6"]
    assert sorted(each.entry.position for each in traced) == mine
    above: list[int] = []
    for each in traced:
        del above[each.depth :]
        if each.depth:
            assert each.entry.causation_id == above[-1]
        above.append(each.entry.position)
    from_inside = (await trace_position(connection, mine[3])).events
    assert set(mine) <= {each.entry.position for each in from_inside}
    assert (await trace_position(connection, 10_000)).events == []


def positions(listed: str) -> list[int]:
    return [int(line.split()[0]) for line in listed.splitlines()]


def test_the_newest_are_listed_and_what_is_left_out_is_said(
    owl: Owl, notarised: Notarised
) -> None:
    last = len(notarised.events)
    newest = owl("log", "--limit", "3")
    assert positions(newest.stdout) == [last - 2, last - 1, last]
    assert "--from 1" in newest.stderr
    first = owl("log", "--from", "5", "--limit", "3")
    assert positions(first.stdout) == [5, 6, 7]
    assert "--from 8" in first.stderr
    whole = owl("log", "--from", str(last - 1))
    assert (positions(whole.stdout), whole.stderr) == ([last - 1, last], "")


def test_the_log_is_listed_a_line_an_event(owl: Owl) -> None:
    lines = owl("log", "--type", "wallet.*", "--limit", "7").stdout.splitlines()
    assert len(lines) == 7
    assert all("wallet." in line for line in lines)
    assert owl("log", "--from", "990", "--to", "2026-03-01T12:00:00Z").stdout == ""
    one = answer(owl("log", "--from", "5", "--limit", "1", "--json"))
    assert one["position"] == 5
    owl("log", "--entity", "nobody", code=2)
    owl("log", "--from", "yesterday", code=2)


def test_a_list_without_a_match_says_so_beside_the_answer(owl: Owl) -> None:
    for more in ((), ("--json",), ("--from", "1")):
        found = owl("log", "--type", "fleet.gpu_failed/1", "--to", "900", *more)
        assert found.stdout == ""
        assert found.stderr == "no event up to position 900 matches\n"


def test_sums_say_their_unit(owl: Owl, notarised: Notarised) -> None:
    assert "fen" in owl("log", "--help").stdout
    most = max(amount for event in notarised.events for amount in amounts(event))
    given = owl("log", "--min-amount", f"{most / 100:.2f}", "--json").stdout.splitlines()
    assert str(most) in given[0]
    assert "_fen" in given[0]
    assert owl("log", "--min-amount", f"{(most + 1) / 100:.2f}").stdout == ""


def test_one_event_is_shown_whole_raw_and_with_a_proof(owl: Owl, notarised: Notarised) -> None:
    event = notarised.events[122]
    assert event.tag in owl("show", "123").stdout
    assert owl("show", "123", "--raw").stdout_bytes == event.state
    proof, _, note = owl("show", "123", "--proof").stdout.partition("\n\n")
    first, extra, index, *path = proof.split("\n")
    checkpoint = checkpoint_in(note, notarised.key, is_signed)
    assert (first, index) == ("c2sp.org/tlog-proof@v1", "index 122")
    envelope = base64.b64decode(extra.removeprefix("extra "))
    assert envelope == envelope_of(event)
    verify_inclusion(
        index=122,
        size=checkpoint.size,
        leaf=leaf_hash(envelope),
        proof=[base64.b64decode(line) for line in path],
        root=checkpoint.root,
    )
    assert "no event" in owl("show", "99999", code=1).stderr
    assert "the log ends at" in owl("show", "99999", "--proof", code=1).stderr


def test_an_entity_is_told_through_time(owl: Owl) -> None:
    user = f"user:{ALICE}"
    assert "account.available_fen" in owl("history", user).stdout
    now = answer(owl("state", user, "--json"))["state"]
    then = answer(owl("state", user, "--at", "500", "--json"))["state"]
    changed = answer(owl("diff", "500", "99999", "--entity", user, "--json"))
    assert changed == {
        name: [then.get(name), now.get(name)] for name in now if then.get(name) != now.get(name)
    }
    assert "after position 500" in owl("state", user, "--at", "500").stdout
    assert "wallet" in owl("diff", "500", "600").stdout
    assert "nothing" in owl("state", f"task:{UUID(int=1)}").stdout


def test_a_moment_is_told_as_it_was_given_and_as_far_as_the_log_goes(
    owl: Owl, notarised: Notarised
) -> None:
    user, head = f"user:{ALICE}", len(notarised.events)
    assert f"after position {head}:" in owl("state", user, "--at", "99999").stdout
    before = owl("state", user, "--at", "2001-01-01").stdout
    assert before == "nothing of it by 2001-01-01T00:00:00+00:00\n"
    for words in (("600", "500"), ("600", "2001-01-01"), ("600", "500", "--entity", user)):
        assert "give the earlier one first" in owl("diff", *words, code=2).stderr
    assert "nothing changed between 500 and 500" in owl("diff", "500", "500").stderr
    assert "is not the id of a user" in owl("history", "user:nobody", code=2).stderr
    assert "is none of user:ID, task:ID" in owl("history", f"cat:{ALICE}", code=2).stderr


@pytest.mark.parametrize("form", ["tree", "dot", "json"])
def test_a_request_is_drawn(owl: Owl, form: str) -> None:
    assert "wallet." in owl("trace", "request-20", "--format", form).stdout
    assert "wallet." in owl("trace", "300", "--format", form).stdout
    assert "no event" in owl("trace", "request-none", code=1).stderr
    as_json = owl("trace", "300", "--json").stdout
    assert as_json == owl("trace", "300", "--format", "json").stdout


def test_what_an_event_led_to_is_found_by_its_id_and_a_stream_is_listed_alone(
    owl: Owl, notarised: Notarised
) -> None:
    event = notarised.events[299]
    stream = UUID(bytes=event.stream)
    by_position = owl("trace", "300").stdout
    assert owl("trace", f"{stream}/{event.version}").stdout == by_position
    assert "no event" in owl("trace", f"{stream}/99999", code=1).stderr
    shown = owl("log", "--stream", str(stream), "--limit", "1000").stdout.splitlines()
    mine = [n for n, each in enumerate(notarised.events, 1) if each.stream == event.stream]
    assert [int(line.split()[0]) for line in shown] == mine
