"""Writes docs/state-machines.md from the code: `python -m tests.house.state_machines`.

A task's machine is read from its table. A server has no table, its phase is several facts, so
its machine is found by running the real commands from every state that they can reach. With
``--check`` nothing is written, and the exit code is 1 when the document is out of date.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from string import Template
from typing import Any, NamedTuple
from uuid import UUID

from commands.fleet import (
    DrainServer,
    EnrolServer,
    NoteServerSeen,
    NoteServerSilent,
    RegisterServer,
    RemoveServer,
    ResumeServer,
    drain_server,
    enrol_server,
    note_server_seen,
    note_server_silent,
    register_server,
    remove_server,
    resume_server,
)
from domain.errors import Refused
from domain.facts import Fact
from domain.fleet.messages import Heartbeat, HostSample
from domain.fleet.server import SERVER, Server
from domain.tasks.lifecycle import ANYWHERE, FAULT, STATUS, TRANSITIONS
from tests.house.tree import ROOT
from tests.memory import MemoryLog

DOCUMENT = ROOT / "docs/state-machines.md"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVER_ID = UUID(int=7)
BOOT_ID = UUID(int=8)
DIGEST = "digest"

TEXT = Template("""\
# State machines

Written from the code by `python -m tests.house.state_machines`; do not edit it by hand.
An arrow is a fact of the log, and there is no other way from one state to the next.

## A task

Source: `TRANSITIONS` in [domain/tasks/lifecycle.py](../domain/tasks/lifecycle.py).

```mermaid
stateDiagram-v2
$task
```

| phase | `status` in the API |
|---|---|
$phases

These change what is known of a task and not its phase:

| phase | facts |
|---|---|
$stays
| any | $anywhere |

## Why a task has not completed

Source: `FAULT` in the same file; `cost_of` in
[domain/tasks/task.py](../domain/tasks/task.py) charges by it.

| `reason` | fault | charged |
|---|---|---|
$faults

## A server

Source: the commands of [commands/fleet.py](../commands/fleet.py), run from every state
that they can reach. Both parts move by themselves; a server gets work while it is `online` and
`in_service`.

```mermaid
stateDiagram-v2
    state presence {
$presence
    }
    state service {
$service
    }
```

The API's `status` of a server is `offline` unless it is `online` here; then `maintenance` when
drained, `error` when all of its GPUs have failed, else `online`
([projections/gpu_cluster.py](../projections/gpu_cluster.py)).
""")

Command = tuple[Callable[[Any, Any], Any], Any]

HEARTBEAT = Heartbeat(
    report_id=UUID(int=9),
    server_id=SERVER_ID,
    boot_id=BOOT_ID,
    sequence=1,
    sent_at=NOW,
    agent_version="1",
    hostname="gpu-1",
    host=HostSample(),
)
REGISTER: Command = (
    register_server,
    RegisterServer(
        server_id=SERVER_ID,
        name="gpu-1",
        max_concurrent_tasks=1,
        token_digest=DIGEST,
        token_expires_at=NOW + timedelta(hours=1),
    ),
)
ENROL: Command = (
    enrol_server,
    EnrolServer(server_id=SERVER_ID, token_digest=DIGEST, public_key="U", host="gpu-1", at=NOW),
)
SEEN: Command = (note_server_seen, NoteServerSeen(heartbeat=HEARTBEAT, at=NOW))
OTHERS: tuple[Command, ...] = (
    (note_server_silent, NoteServerSilent(server_id=SERVER_ID, last_seen_at=NOW)),
    (drain_server, DrainServer(server_id=SERVER_ID)),
    (resume_server, ResumeServer(server_id=SERVER_ID)),
    (remove_server, RemoveServer(server_id=SERVER_ID, running_tasks=0)),
)


class Move(NamedTuple):
    """``fact`` leads from ``before`` to ``after``."""

    before: str
    after: str
    fact: str


def presence(server: Server | None) -> str:
    """Whether the server is there; the contract's ``offline`` is all but ``online``."""
    if server is None:
        return "[*]"
    if server.removed:
        return "removed"
    if server.public_key is None:
        return "registered"
    return "online" if server.online else "offline"


def service(server: Server | None) -> str:
    """Whether an operator wants work on it."""
    if server is None:
        return "[*]"
    return "drained" if server.drained else "in_service"


def wanted(server: Server | None) -> tuple[Command, ...]:
    """What may be asked of a server; the broker lets no agent in that has not enrolled."""
    if server is None:
        return (REGISTER,)
    return (SEEN, *OTHERS) if server.public_key is not None else (ENROL, *OTHERS)


def walk() -> list[tuple[Server | None, Fact, Server | None]]:
    """Every step between all the states that a server can reach."""
    steps: list[tuple[Server | None, Fact, Server | None]] = []
    met: set[Server | None] = {None}
    waiting: list[tuple[Fact, ...]] = [()]
    while waiting:
        history = waiting.pop(0)
        before = SERVER.fold(history)
        for handler, command in wanted(before):
            log = MemoryLog()
            log.given(SERVER_ID, *history)
            try:
                log.run(handler, command)
            except Refused:
                continue
            facts = log.facts(SERVER_ID)[len(history) :]
            if not facts:
                continue
            assert len(facts) == 1, "each of these commands says one thing"
            after = SERVER.fold(facts, before)
            steps.append((before, facts[0], after))
            if after not in met:
                met.add(after)
                waiting.append((*history, *facts))
    return steps


def region(of: Callable[[Server | None], str]) -> list[Move]:
    """The moves of one part of a server's state, those of the other part left out."""
    moves = {
        Move(of(before), of(after), type(fact).__name__): None
        for before, fact, after in walk()
        if of(before) != of(after)
    }
    return list(moves)


def task_moves() -> list[Move]:
    """The moves of a task, those between two phases only."""
    moves = [Move("[*]", "pending", "TaskSubmitted")]
    moves += [
        Move(before, after, fact.__name__)
        for before, leads in TRANSITIONS.items()
        for fact, after in leads.items()
        if before != after
    ]
    return moves


def diagram(moves: Iterable[Move], indent: str = "    ") -> list[str]:
    """Lines of a Mermaid state diagram; facts with the same ends share an arrow."""
    arrows: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for move in moves:
        arrows[move.before, move.after].append(move.fact)
    return [
        f"{indent}{before} --> {after}: {', '.join(facts)}"
        for (before, after), facts in arrows.items()
    ]


def stays() -> list[str]:
    """Table rows: facts that a task may be told of without leaving its phase."""
    return [
        f"| {phase} | {', '.join(f'`{fact.__name__}`' for fact in facts)} |"
        for phase, leads in TRANSITIONS.items()
        if (facts := [fact for fact, after in leads.items() if after == phase])
    ]


def render() -> str:
    """The whole document."""
    return TEXT.substitute(
        task=lines(diagram(task_moves())),
        phases=lines(
            f"| {phase} | {STATUS.get(phase, 'not shown')} |" for phase in TRANSITIONS
        ),
        stays=lines(stays()),
        anywhere=", ".join(f"`{fact.__name__}`" for fact in ANYWHERE),
        faults=lines(
            f"| `{reason}` | {fault} | {'free' if fault == 'platform' else 'what it ran'} |"
            for reason, fault in FAULT.items()
        ),
        presence=lines(diagram(region(presence), " " * 8)),
        service=lines(diagram(region(service), " " * 8)),
    )


def lines(texts: Iterable[str]) -> str:
    """One a line."""
    return "\n".join(texts)


def main(arguments: list[str]) -> int:
    """Write the document, or check it."""
    wanted_text = render()
    if "--check" in arguments:
        return int(DOCUMENT.read_text(encoding="utf-8") != wanted_text)
    DOCUMENT.write_text(wanted_text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
