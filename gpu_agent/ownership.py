"""One agent to a state directory: two would answer for the same tasks, and spoil them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StateInUse(Exception):
    """Another agent runs in this directory; the message names its process."""


@contextmanager
def owned(state: Path) -> Iterator[None]:
    """Be the only agent in ``state`` until left, or killed.

    Raises:
        StateInUse: another one is there.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state / "agent.lock").open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            raise StateInUse(
                f"{state} is in use by another owl-agent (process {owner}): stop that one, or"
                " give this one its own --state-dir and identity"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
