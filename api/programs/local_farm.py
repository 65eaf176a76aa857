"""What an ``owl up`` tells the commands beside it: its API's address, and what its agent reads.

Only who may read the data directory hears of it; over HTTP no path of a host is told.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from api.settings import SettingsInvalid, load

FARM_FILE: Final = "farm.json"


class LocalFarm(Struct, frozen=True):
    """``media_dirs`` are the directories in which tasks may name files."""

    api_url: str
    media_dirs: tuple[str, ...]

    def is_at(self, api_url: str) -> bool:
        """Whether it is the one at a loopback address: no two programs have one port of it."""
        return urlsplit(self.api_url).port == urlsplit(api_url).port

    def may_read(self, file: Path) -> bool:
        """Whether ``file`` lies in one of them, links followed."""
        real = file.resolve()
        return any(real.is_relative_to(Path(each).resolve()) for each in self.media_dirs)


@contextmanager
def farm_told(data_dir: Path, api_url: str, media_dirs: Sequence[Path]) -> Iterator[None]:
    """Tell it for as long as the block lasts, or this process lives."""
    farm = LocalFarm(api_url, tuple(str(each.resolve()) for each in media_dirs))
    path = data_dir / FARM_FILE
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600, exist_ok=False)
    with draft.open("wb", buffering=0) as file:
        # never waited for: the directory has one owner, and nobody reads a draft
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.write(msgspec.json.encode(farm))
        draft.replace(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def farm_here() -> LocalFarm | None:
    """The farm of the ``owl up`` that runs in our data directory."""
    try:
        path = Path(load().data_dir) / FARM_FILE
    except SettingsInvalid:
        return None  # one of servers, of which a command that asks an API wants nothing
    try:
        with path.open("rb") as file:
            return None if _is_free(file) else msgspec.json.decode(file.read(), type=LocalFarm)
    except (OSError, msgspec.DecodeError):
        return None


def _is_free(file: IO[bytes]) -> bool:
    """Whether nobody holds it any more: who wrote it was killed."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
