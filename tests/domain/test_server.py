"""A server enrols once per token and takes work while it is there and wanted."""

from typing import Any
from uuid import UUID

import hypothesis
import pytest
from hypothesis import strategies as st

from domain.errors import InvalidState, NotFound
from domain.facts import Fact
from domain.fleet.events import (
    EnrolmentTokenIssued,
    ServerChanged,
    ServerDrained,
    ServerRemoved,
    ServerResumed,
    ServerWentOffline,
)
from domain.fleet.server import (
    FORMER_BOOTS_KEPT,
    SERVER,
    TokenInvalid,
    change,
    drain,
    enrol,
    existing,
    remove,
    resume,
)
from tests.domain.cast import (
    NOON,
    SERVER_ID,
    after,
    came_online,
    server_enrolled,
    server_registered,
)
from tests.scenario import given

AGENT: dict[str, Any] = {
    "token_digest": "digest",
    "public_key": "UKEY",
    "host": "gpu01",
    "now": NOON,
}
ENROLLED = (server_registered(), server_enrolled())
ONLINE = (*ENROLLED, came_online())
DRAINED = ServerDrained(server_id=SERVER_ID)
RESUMED = ServerResumed(server_id=SERVER_ID)
REMOVED = ServerRemoved(server_id=SERVER_ID)
OFFLINE = ServerWentOffline(server_id=SERVER_ID, last_seen_at=NOON)
TOKEN_2 = EnrolmentTokenIssued(
    server_id=SERVER_ID, token_digest="second", token_expires_at=after(7_200)
)


def test_a_server_enrols_with_its_token() -> None:
    given(SERVER, server_registered()).when(enrol, **AGENT).then(server_enrolled())


@pytest.mark.parametrize(
    ("history", "wrong"),
    [
        ((), {}),
        ((server_registered(),), {"token_digest": "another"}),
        ((server_registered(),), {"now": after(3_600)}),
        (ENROLLED, {"public_key": "UOTHER"}),
        ((server_registered(), TOKEN_2), {}),
        ((*ENROLLED, TOKEN_2), {}),
        ((server_registered(), REMOVED), {}),
        ((*ENROLLED, REMOVED), {}),
    ],
    ids=[
        "no such server",
        "a wrong token",
        "at the instant it expires",
        "a used token, another key",
        "a replaced token",
        "a replaced token, the same key",
        "a removed server",
        "a removed server, its key",
    ],
)
def test_nothing_else_lets_a_server_in(
    history: tuple[Fact, ...], wrong: dict[str, Any]
) -> None:
    given(SERVER, *history).when(enrol, **(AGENT | wrong)).then_refused(TokenInvalid)


def test_a_token_works_until_the_instant_it_expires() -> None:
    given(SERVER, server_registered()).when(enrol, **(AGENT | {"now": after(3_599.999)})).then(
        server_enrolled()
    )


def test_enrolling_again_with_the_same_key_changes_nothing() -> None:
    given(SERVER, *ENROLLED).when(enrol, **AGENT).then_nothing()


def test_another_token_lets_another_key_in() -> None:
    given(SERVER, *ENROLLED, TOKEN_2).when(
        enrol, **(AGENT | {"token_digest": "second", "public_key": "UOTHER"})
    ).then(server_enrolled(public_key="UOTHER"))


def test_a_server_is_drained_and_resumed_once() -> None:
    given(SERVER, *ONLINE).when(drain).then(DRAINED)
    given(SERVER, *ONLINE, DRAINED).when(drain).then_nothing()
    given(SERVER, *ONLINE, DRAINED).when(resume).then(RESUMED)
    given(SERVER, *ONLINE).when(resume).then_nothing()


@pytest.mark.parametrize(
    ("history", "takes_work"),
    [
        (ENROLLED, False),
        (ONLINE, True),
        ((*ONLINE, DRAINED), False),
        ((*ONLINE, DRAINED, RESUMED), True),
        ((*ONLINE, OFFLINE), False),
        ((*ONLINE, OFFLINE, came_online()), True),
        ((*ONLINE, REMOVED), False),
    ],
)
def test_a_server_takes_work_while_online_and_wanted(
    history: tuple[Fact, ...], takes_work: object
) -> None:
    server = SERVER.fold(history)
    assert server is not None
    assert server.takes_work == takes_work


def test_a_change_names_everything_and_what_is_left_out_stays() -> None:
    given(SERVER, *ONLINE).when(change, name="新名字", max_concurrent_tasks=None).then(
        ServerChanged(server_id=SERVER_ID, name="新名字", max_concurrent_tasks=2)
    )
    given(SERVER, *ONLINE).when(change, name=None, max_concurrent_tasks=8).then(
        ServerChanged(server_id=SERVER_ID, name="GPU-Server-01", max_concurrent_tasks=8)
    )
    given(SERVER, *ONLINE).when(change, name=None, max_concurrent_tasks=2).then_nothing()


def test_a_server_on_which_tasks_run_is_not_removed() -> None:
    given(SERVER, *ONLINE).when(remove, running_tasks=0).then(REMOVED)
    given(SERVER, *ONLINE).when(remove, running_tasks=1).then_refused(
        InvalidState, running_tasks=1
    )


@pytest.mark.parametrize("history", [(), (*ONLINE, REMOVED)])
def test_what_never_was_or_was_removed_is_not_found(history: tuple[Fact, ...]) -> None:
    with pytest.raises(NotFound):
        existing(SERVER.fold(history))


def test_a_fact_before_the_registration_is_a_corrupt_stream() -> None:
    with pytest.raises(AssertionError, match="corrupt"):
        SERVER.fold([came_online()])


def test_the_memory_of_the_agent_s_lives_is_bounded() -> None:
    boots = [came_online(boot_id=UUID(int=number)) for number in range(40)]
    server = SERVER.fold([*ENROLLED, *boots])
    assert server is not None
    assert [boot.int for boot in server.former_boots] == list(range(39 - FORMER_BOOTS_KEPT, 39))


@hypothesis.given(
    st.lists(
        st.one_of(
            st.tuples(
                st.sampled_from(["t0", "t1", "t2"]),
                st.sampled_from(["UKEY", "UOTHER"]),
                st.integers(0, 200),
            ),
            st.sampled_from(["t1", "t2"]),
        ),
        max_size=20,
    )
)
def test_a_token_lets_one_key_in_however_often_it_is_tried(
    tries: list[tuple[str, str, int] | str],
) -> None:
    history: list[Fact] = [server_registered(token_digest="t0", token_expires_at=after(100))]
    issued = ["t0"]
    keys_by_token: dict[int, set[str]] = {}
    for attempt in tries:
        if isinstance(attempt, str):
            history.append(
                EnrolmentTokenIssued(
                    server_id=SERVER_ID, token_digest=attempt, token_expires_at=after(100)
                )
            )
            issued.append(attempt)
            continue
        token, key, seconds = attempt
        try:
            fact = enrol(
                SERVER.fold(history),
                token_digest=token,
                public_key=key,
                host="h",
                now=after(seconds),
            )
        except TokenInvalid:
            continue
        if fact is not None:
            history.append(fact)
            assert token == issued[-1]
            assert seconds < 100
            keys_by_token.setdefault(len(issued), set()).add(key)
    assert all(len(keys) == 1 for keys in keys_by_token.values())
