"""PostgreSQL as an engine of the embedded stack: its cluster on disk, its settings, its URL.

Clients come by a Unix socket in a private 0700 directory, which is the whole access control:
``trust`` on a TCP port would make every local user a superuser. TCP is an option, by password.
"""

import hashlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import psutil
import psycopg
from msgspec import Struct
from psycopg import sql

from api.embedded.account import ServerAccount, make_private_directory, write_private
from api.embedded.binaries import PostgresBinaries
from api.embedded.child import Launch, server_environment
from api.embedded.failure import StackFailed

ROLE = "owl"
DATABASE = "owl"
SUPERUSER = "postgres"
DEFAULT_PORT = 5432  # names the socket file; nothing listens on it unless `tcp_port` is given
BUILTIN_LOCALE_FLOOR = 17
INITDB_DEADLINE_S = 120.0
CONNECT_DEADLINE_S = 5
# macOS has the shorter limit: 104 bytes with the final NUL
SOCKET_PATH_LIMIT_BYTES = 103
# pg_trgm finds words in Chinese only under a UTF-8 LC_CTYPE; older macOS has no C.UTF-8
CTYPES = ("C.UTF-8", "en_US.UTF-8")

Profile = Literal["durable", "test"]

SETTINGS: dict[str, str] = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",  # an SSD
    "jit": "off",  # costs more than it gives on short queries
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
}
# What a crash of the machine loses, a test does not miss. Refused for real data by the log.
TEST_SETTINGS: dict[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
}

# Included from initdb's own file, which knows this machine's kind of shared memory.
INCLUDE = "\ninclude 'owl.conf'  # settings below this line overrule the platform's\n"

FIND_ROLE = "SELECT 1 FROM pg_roles WHERE rolname = %s"
FIND_DATABASE = "SELECT 1 FROM pg_database WHERE datname = %s"


class PostgresSetup(Struct, frozen=True, kw_only=True):
    """Where and how the cluster runs. ``directory`` is its own: data, socket and log."""

    directory: Path
    binaries: PostgresBinaries
    account: ServerAccount | None
    profile: Profile = "durable"
    tcp_port: int | None = None
    tcp_password: str | None = None


class Postgres:
    """The engine; ``Server`` runs it."""

    name = "PostgreSQL"
    process_name = "postgres"
    stop_signal = signal.SIGINT  # fast shutdown: rolls back, checkpoints, ends

    def __init__(self, setup: PostgresSetup) -> None:
        self._setup = setup
        self._socket_directory = socket_directory(setup.directory)
        if setup.tcp_port is not None and not setup.tcp_password:
            raise StackFailed("a TCP port for PostgreSQL needs a password")

    @property
    def directory(self) -> Path:
        """PGDATA, where every server process works."""
        return self._setup.directory / "data"

    @property
    def port(self) -> int:
        """The TCP port, or the number in the socket's name."""
        return self._setup.tcp_port or DEFAULT_PORT

    def url(self, database: str = DATABASE, *, role: str = ROLE) -> str:
        """A libpq URL by the socket."""
        host = quote(str(self._socket_directory), safe="")
        return f"postgresql://{role}@/{quote(database)}?host={host}&port={self.port}"

    def tcp_url(self) -> str | None:
        """A libpq URL by TCP, password included; None unless a port was asked for."""
        if self._setup.tcp_port is None:
            return None
        password = quote(self._setup.tcp_password or "", safe="")
        return f"postgresql://{ROLE}:{password}@127.0.0.1:{self.port}/{DATABASE}"

    def prepare(self) -> Launch:
        """Make the cluster on the first start, and its configuration on each."""
        setup = self._setup
        make_private_directory(setup.directory, setup.account)
        make_private_directory(self._socket_directory, setup.account)
        if not self.directory.exists():
            self._create_cluster()
        self._check_version()
        self._drop_foreign_pid_file()
        write_private(self.directory / "owl.conf", self._configuration(), setup.account)
        write_private(self.directory / "pg_hba.conf", self._access(), setup.account)
        return Launch(
            argv=(str(setup.binaries.directory / "postgres"), "-D", str(self.directory)),
            cwd=self.directory,
            log_path=setup.directory / "postgres.log",
            stop_signal=self.stop_signal,
            account=setup.account,
        )

    def is_ready(self, pid: int) -> bool:
        """Asked by connecting: the pid file of an earlier run may name the same ``pid``."""
        del pid
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def settle(self) -> None:
        """The platform's role, which is no superuser, and its database."""
        name = sql.Identifier(ROLE)
        with self._connect() as connection:
            if connection.execute(FIND_ROLE, [ROLE]).fetchone() is None:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB").format(name))
            if connection.execute(FIND_DATABASE, [DATABASE]).fetchone() is None:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(DATABASE), name
                    )
                )
            if self._setup.tcp_password:
                # hashed on this side: the password itself reaches neither log nor server
                verifier = connection.pgconn.encrypt_password(
                    self._setup.tcp_password.encode(), ROLE.encode(), b"scram-sha-256"
                )
                connection.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                        name, sql.Literal(verifier.decode())
                    )
                )

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            self.url("postgres", role=SUPERUSER),
            autocommit=True,
            connect_timeout=CONNECT_DEADLINE_S,
        )

    def _create_cluster(self) -> None:
        """Beside its place and then renamed: a half-made cluster is never taken for one."""
        setup = self._setup
        for abandoned in setup.directory.glob("initdb-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        failure = ""
        for ctype in CTYPES:
            draft = setup.directory / f"initdb-{secrets.token_hex(4)}"
            made = subprocess.run(
                initdb_command(setup.binaries, draft, ctype=ctype, profile=setup.profile),
                cwd=setup.directory,
                env=server_environment(),
                user=None if setup.account is None else setup.account.user,
                group=None if setup.account is None else setup.account.group,
                extra_groups=None if setup.account is None else [],
                capture_output=True,
                text=True,
                timeout=INITDB_DEADLINE_S,
                check=False,
            )
            if made.returncode == 0:
                with (draft / "postgresql.conf").open("a", encoding="utf-8") as configuration:
                    configuration.write(INCLUDE)
                draft.rename(self.directory)
                return
            failure = made.stderr.strip() or made.stdout.strip()
        raise StackFailed(f"initdb could not make a cluster:\n{failure}")

    def _check_version(self) -> None:
        version = self.directory / "PG_VERSION"
        if not version.exists():
            raise StackFailed(
                f"{self.directory} is no PostgreSQL cluster: move it away, or choose another"
                " data directory."
            )
        made_by = int(version.read_text(encoding="ascii"))
        if made_by != self._setup.binaries.major:
            raise StackFailed(
                f"the data in {self.directory} is of PostgreSQL {made_by}, the programs in"
                f" {self._setup.binaries.directory} are {self._setup.binaries.major}: carry it"
                " over with pg_upgrade or pg_dump, or choose another data directory."
            )

    def _drop_foreign_pid_file(self) -> None:
        """Our orphans are gone by now, so a live process of that number is somebody else's.

        PostgreSQL would take it for a running postmaster and refuse, for ever: process numbers
        repeat at each start of a container.
        """
        pid_file = self.directory / "postmaster.pid"
        if pid_file.exists():
            first = pid_file.read_text(encoding="utf-8").partition("\n")[0]
            if re.fullmatch(r"\d+", first) and psutil.pid_exists(int(first)):
                pid_file.unlink()

    def _configuration(self) -> str:
        setup = self._setup
        settings = SETTINGS | (TEST_SETTINGS if setup.profile == "test" else {})
        settings |= {
            "listen_addresses": "127.0.0.1" if setup.tcp_port is not None else "",
            "port": str(self.port),
            "unix_socket_directories": str(self._socket_directory),
            "unix_socket_permissions": "0700",
        }
        lines = "".join(f"{name} = {quoted(value)}\n" for name, value in settings.items())
        return f"# Written at each start; your own settings belong in postgresql.conf.\n{lines}"

    def _access(self) -> str:
        tcp = "host all all 127.0.0.1/32 scram-sha-256\n" if self._setup.tcp_port else ""
        return f"# Written at each start.\nlocal all all trust\n{tcp}"


def initdb_command(
    binaries: PostgresBinaries, directory: Path, *, ctype: str, profile: Profile
) -> list[str]:
    """The cluster's unchangeable choices: UTF-8, Unicode case rules without ICU, checksums."""
    builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return [
        str(binaries.directory / "initdb"),
        f"--pgdata={directory}",
        f"--username={SUPERUSER}",
        "--encoding=UTF8",
        *(builtin if binaries.major >= BUILTIN_LOCALE_FLOOR else []),
        "--locale=C",
        f"--lc-ctype={ctype}",
        "--auth=trust",  # pg_hba.conf is replaced before the first start
        "--data-checksums",
        "--no-instructions",
        *(["--no-sync"] if profile == "test" else []),
    ]


def socket_directory(directory: Path) -> Path:
    """Beside the data when that path is short enough for a socket, else a fixed one in /tmp."""
    beside = directory / "socket"
    if len(os.fsencode(beside / f".s.PGSQL.{65535}")) <= SOCKET_PATH_LIMIT_BYTES:
        return beside
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"owl-{digest}"


def quoted(value: str) -> str:
    """A value as postgresql.conf reads it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
