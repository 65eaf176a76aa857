"""A stack under a parent process of its own, for tests that kill the parent."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec
import psutil
from msgspec import Struct

from api.embedded.child import wait_until

ROOT = Path(__file__).parents[2]
DEADLINE_S = 20.0


class Told(Struct, frozen=True):
    """What the parent says when both servers work."""

    servers: list[int]
    guardians: list[int]
    database_url: str
    nats_url: str
    user: int


class Parent:
    """The running program and what it told."""

    def __init__(self, process: subprocess.Popen[bytes], told: Told) -> None:
        self.process = process
        self.told = told

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def leave(self) -> int:
        """End its input, so that it stops its servers and exits."""
        pipe(self.process.stdin).close()
        return self.process.wait(DEADLINE_S)


@contextmanager
def parent_of_stack(data_dir: Path, *, user: int | None = None) -> Iterator[Parent]:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.embedded.program", str(data_dir)),
            *([] if user is None else [str(user)]),
        ],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        try:
            line = pipe(process.stdout).readline()
            assert line, "the program ended before its servers worked: see its error output"
            yield Parent(process, msgspec.json.decode(line, type=Told))
        finally:
            process.kill()


def pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def is_alive(pid: int) -> bool:
    """False for a zombie: where process 1 does not reap, the dead stay listed."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def all_gone(pids: list[int]) -> bool:
    """Whether all of them end within the deadline."""
    return wait_until(lambda: not any(map(is_alive, pids)), deadline_s=DEADLINE_S)


def kill(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, 9)
