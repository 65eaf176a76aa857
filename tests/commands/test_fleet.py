"""Operators and heartbeats change the fleet; what changes nothing appends nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from commands.fleet import (
    ChangeServer,
    DrainServer,
    Enrolled,
    EnrolServer,
    IssueEnrolmentToken,
    NoteServerSeen,
    NoteServerSilent,
    RegisterServer,
    RemoveServer,
    ResumeServer,
    ServerReceipt,
    TokenIssued,
    change_server,
    drain_server,
    enrol_server,
    issue_enrolment_token,
    note_server_seen,
    note_server_silent,
    register_server,
    remove_server,
    resume_server,
)
from domain.errors import InvalidState, NotFound
from domain.fleet.events import (
    EnrolmentTokenIssued,
    ServerChanged,
    ServerDrained,
    ServerRemoved,
    ServerResumed,
    ServerWentOffline,
)
from domain.fleet.server import TokenInvalid
from tests.domain.cast import (
    NOON,
    SERVER_ID,
    after,
    came_online,
    heartbeat,
    server_enrolled,
    server_registered,
)
from tests.memory import MemoryLog

CHANGED = ServerReceipt(SERVER_ID, changed=True)
SAME = ServerReceipt(SERVER_ID, changed=False)
REMOVED = ServerRemoved(server_id=SERVER_ID)
SEEN = NoteServerSeen(heartbeat=heartbeat(), at=NOON)
SILENT = NoteServerSilent(server_id=SERVER_ID, last_seen_at=NOON)
NEW_TOKEN: dict[str, Any] = {"token_digest": "second", "token_expires_at": after(7_200)}


def online() -> MemoryLog:
    log = MemoryLog()
    log.given(SERVER_ID, server_registered(), server_enrolled(), came_online())
    return log


def enrolment(**changes: Any) -> EnrolServer:
    command: dict[str, Any] = {
        "server_id": SERVER_ID,
        "token_digest": "digest",
        "public_key": "UKEY",
        "host": "gpu01",
        "at": NOON,
    }
    return EnrolServer(**(command | changes))


def test_a_server_is_registered_and_enrols_with_its_token_once() -> None:
    log = MemoryLog()
    order = RegisterServer(
        server_id=SERVER_ID,
        name="GPU-Server-01",
        max_concurrent_tasks=2,
        token_digest="digest",
        token_expires_at=after(3_600),
    )
    assert log.run(register_server, order) == TokenIssued(SERVER_ID, order.token_expires_at)
    enrolled = Enrolled(SERVER_ID, "GPU-Server-01", 2)
    assert log.run(enrol_server, enrolment()) == enrolled
    assert log.run(enrol_server, enrolment()) == enrolled
    assert log.facts(SERVER_ID) == [server_registered(), server_enrolled()]
    with pytest.raises(TokenInvalid):
        log.run(enrol_server, enrolment(public_key="UOTHER"))


def test_a_server_that_nobody_registered_does_not_enrol() -> None:
    with pytest.raises(TokenInvalid):
        MemoryLog().run(enrol_server, enrolment())


def test_another_token_lets_a_server_enrol_anew() -> None:
    log = online()
    command = IssueEnrolmentToken(server_id=SERVER_ID, **NEW_TOKEN)
    issued = TokenIssued(SERVER_ID, command.token_expires_at)
    assert log.run(issue_enrolment_token, command) == issued
    assert log.facts(SERVER_ID)[-1] == EnrolmentTokenIssued(server_id=SERVER_ID, **NEW_TOKEN)
    log.run(enrol_server, enrolment(token_digest="second", public_key="UOTHER"))
    assert log.facts(SERVER_ID)[-1] == server_enrolled(public_key="UOTHER")


def test_heartbeats_and_their_absence_are_recorded_when_they_change_something() -> None:
    log = MemoryLog()
    log.given(SERVER_ID, server_registered(), server_enrolled())
    receipts = [
        log.run(note_server_seen, SEEN),
        log.run(note_server_seen, SEEN),
        log.run(note_server_silent, SILENT),
        log.run(note_server_silent, SILENT),
    ]
    assert receipts == [CHANGED, SAME, CHANGED, SAME]
    assert log.facts(SERVER_ID)[2:] == [
        came_online(),
        ServerWentOffline(server_id=SERVER_ID, last_seen_at=NOON),
    ]


def test_a_heartbeat_of_a_server_that_is_not_ours_is_answered_and_not_recorded() -> None:
    nobody, removed = MemoryLog(), online()
    removed.given(SERVER_ID, REMOVED)
    for log in (nobody, removed):
        before = log.facts(SERVER_ID)
        assert log.run(note_server_seen, SEEN) == SAME
        assert log.run(note_server_silent, SILENT) == SAME
        assert log.facts(SERVER_ID) == before


def test_an_operator_drains_resumes_changes_and_removes() -> None:
    log = online()
    assert log.run(drain_server, DrainServer(server_id=SERVER_ID)) == CHANGED
    assert log.run(drain_server, DrainServer(server_id=SERVER_ID)) == SAME
    assert log.run(resume_server, ResumeServer(server_id=SERVER_ID)) == CHANGED
    assert log.run(resume_server, ResumeServer(server_id=SERVER_ID)) == SAME
    renamed = ChangeServer(server_id=SERVER_ID, name="GPU-Server-02")
    assert log.run(change_server, renamed) == CHANGED
    assert log.run(change_server, renamed) == SAME
    gone = RemoveServer(server_id=SERVER_ID, running_tasks=0)
    assert log.run(remove_server, gone) == CHANGED
    assert log.facts(SERVER_ID)[3:] == [
        ServerDrained(server_id=SERVER_ID),
        ServerResumed(server_id=SERVER_ID),
        ServerChanged(server_id=SERVER_ID, name="GPU-Server-02", max_concurrent_tasks=2),
        REMOVED,
    ]


def test_a_server_on_which_tasks_run_is_not_removed() -> None:
    log = online()
    with pytest.raises(InvalidState):
        log.run(remove_server, RemoveServer(server_id=SERVER_ID, running_tasks=1))


OPERATORS: list[tuple[Callable[..., Any], Any]] = [
    (issue_enrolment_token, IssueEnrolmentToken(server_id=SERVER_ID, **NEW_TOKEN)),
    (drain_server, DrainServer(server_id=SERVER_ID)),
    (resume_server, ResumeServer(server_id=SERVER_ID)),
    (change_server, ChangeServer(server_id=SERVER_ID)),
    (remove_server, RemoveServer(server_id=SERVER_ID, running_tasks=0)),
]


@pytest.mark.parametrize(("handler", "command"), OPERATORS)
def test_a_server_that_never_was_or_was_removed_is_not_found(
    handler: Callable[..., Any], command: Any
) -> None:
    nobody, removed = MemoryLog(), online()
    removed.given(SERVER_ID, REMOVED)
    for log in (nobody, removed):
        with pytest.raises(NotFound):
            log.run(handler, command)


@pytest.mark.parametrize(
    "command", [SEEN, SILENT, enrolment(), *(command for _, command in OPERATORS)]
)
def test_a_command_names_the_stream_it_will_want(command: Any) -> None:
    assert command.streams() == (SERVER_ID,)
