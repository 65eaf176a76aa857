"""Folds see a row and an event, and nothing else: whatever they might ask raises meanwhile."""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import random
import socket
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, Final
from uuid import UUID

import pytest

import domain
from domain.accounts.events import AdminAppointed, AdminDismissed
from domain.decider import Decider
from domain.envelope import Recorded
from domain.facts import Fact
from projections.catalogue import READ_MODELS
from projections.read_model import ReadModel
from tests.projections.history import RandomFarm, telemetry
from tests.projections.tables import naive

HISTORIES: Final = 24
CALLED: Final = frozenset(
    {
        *("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"),
        *("localtime", "gmtime", "clock_gettime", "process_time", "sleep", "thread_time"),
        *("now", "utcnow", "today", "random", "getrandbits", "urandom", "getrandom", "seed"),
        *("connect", "send", "sendall", "sendto", "recv", "getaddrinfo", "gethostname"),
        *("open", "read", "write", "stat", "listdir", "scandir", "getpid", "execute"),
        *("generate_time_safe", "start_new_thread", "fork", "fork_exec", "print"),
    }
)
"""Builtins by name: what a clock, a die, a file, the network or a process is asked by."""
AUDITED: Final = ("open", "socket.", "subprocess.", "os.", "shutil.", "sqlite3.", "import")
"""What the interpreter itself says of whoever reaches out, also where no builtin is called."""
_sealed: list[bool] = []


def _reached(event: str, _arguments: tuple[Any, ...]) -> None:
    if _sealed and event.startswith(AUDITED):
        raise AssertionError(f"a fold has called {event}")


@cache
def _listening() -> None:
    sys.addaudithook(_reached)  # for the life of the process, and deaf outside of a seal


@contextmanager
def sealed_off() -> Iterator[None]:
    """In here a clock, a die, a file or the network raises when it is asked."""

    def watch(_frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and argument.__name__ in CALLED:
            raise AssertionError(f"a fold has called {argument.__qualname__}")

    _listening()
    gc.disable()  # what others hang on the collector asks the clock
    _sealed.append(True)
    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)
        _sealed.clear()
        gc.enable()


@pytest.mark.parametrize(
    "ask",
    [
        time.time,
        time.perf_counter_ns,
        random.random,
        lambda: random.Random(1),
        uuid.uuid4,
        uuid.uuid1,
        lambda: os.urandom(4),
        lambda: datetime.now(UTC),
        lambda: Path("x").read_text(encoding="utf-8"),
        lambda: Path("x").exists(),
        lambda: socket.create_connection(("127.0.0.1", 1)),
        socket.socket,
        lambda: subprocess.run(["true"], check=True),
        lambda: print("x"),  # noqa: T201 - which is what must not work
    ],
)
def test_whoever_is_sealed_off_is_caught_asking(ask: Callable[[], object]) -> None:
    with pytest.raises(AssertionError, match="has called"), sealed_off():
        ask()


@cache
def histories() -> tuple[Sequence[Recorded[Any]], ...]:
    """So many that everything has happened that a fold knows."""
    return tuple(RandomFarm(seed).happen(400) for seed in range(HISTORIES))


@pytest.mark.parametrize("model", READ_MODELS, ids=lambda model: model.name)
def test_no_fold_of_a_read_model_asks_a_clock_a_die_a_file_or_the_network(
    model: ReadModel,
) -> None:
    told = histories() if model.source == "business" else (telemetry(71, 80),)
    happened = {type(event.fact) for events in told for event in events}
    assert set(model.facts) <= happened, "there is a fold that never runs in here"
    with sealed_off():
        rows = [naive(model, events) for events in told]
    assert any(any(tables.values()) for tables in rows)
    for events, before in zip(told, rows, strict=True):
        assert naive(model, events) == before


def deciders() -> dict[str, Decider[Any]]:
    """Every one that the domain has."""
    found = {}
    for module in pkgutil.walk_packages(domain.__path__, "domain."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Decider):
                found[value.category] = value
    return found


def test_no_state_of_an_entity_asks_a_clock_a_die_a_file_or_the_network() -> None:
    streams: dict[tuple[int, UUID], list[Fact]] = defaultdict(list)
    for number, events in enumerate(histories()):
        for event in events:
            streams[number, event.stream].append(event.fact)
    somebody = UUID(int=1)  # no farm in memory has admins
    admins = [AdminAppointed(user_id=somebody), AdminDismissed(user_id=somebody)]
    streams[HISTORIES, somebody] = list(admins)
    folded = set()
    for category, decider in deciders().items():
        mine = [facts for facts in streams.values() if decider.begins(type(facts[0]))]
        with sealed_off():
            states = [decider.fold(facts) for facts in mine]
        assert states == [decider.fold(facts) for facts in mine]
        folded |= {category} if mine else set()
    assert folded == set(deciders()), "there is a decider that never runs in here"
