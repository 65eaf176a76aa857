"""What an ``owl up`` tells the commands beside it: its API's address, and what its agent reads.

Only who may read the data directory hears of it; over HTTP no path of a host is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from api.embedded.failure import StackFailed
from api.embedded.stack import own

FARM_FILE: Final = "farm.json"


class LocalFarm(Struct, frozen=True):
    """``media_dirs`` are the directories in which tasks may name files."""

    api_url: str
    media_dirs: tuple[str, ...]

    def may_read(self, file: Path) -> bool:
        """Whether ``file`` lies in one of them, links followed."""
        real = file.resolve()
        return any(real.is_relative_to(Path(each).resolve()) for each in self.media_dirs)


@contextmanager
def farm_told(data_dir: Path, api_url: str, media_dirs: Sequence[Path]) -> Iterator[None]:
    """Tell it for as long as the block lasts."""
    farm = LocalFarm(api_url, tuple(str(each.resolve()) for each in media_dirs))
    path = data_dir / FARM_FILE
    path.write_bytes(msgspec.json.encode(farm))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def local_farm(data_dir: Path, api_url: str) -> LocalFarm | None:
    """The farm that runs in ``data_dir``, if it is the one at the loopback ``api_url``."""
    try:
        farm = msgspec.json.decode((data_dir / FARM_FILE).read_bytes(), type=LocalFarm)
        with own(data_dir):
            return None  # nobody owns it: it was killed
    except (OSError, msgspec.DecodeError):
        return None
    except StackFailed:
        # localhost and 127.0.0.1 are one place, and no two programs have one port of it
        return farm if urlsplit(farm.api_url).port == urlsplit(api_url).port else None
