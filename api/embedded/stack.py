"""The embedded stack as one thing: both servers up together, one owner of the data directory.

    with EmbeddedStack(StackConfig(data_dir=…, postgres=PostgresOptions(), nats=…)) as stack:
        stack.database_url, stack.nats_url

Law: a data directory has one owner. JetStream's store has no lock of its own, so two brokers
would destroy it; the second start is refused here.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec
from msgspec import Struct

from api.embedded.account import server_account, server_home, write_private
from api.embedded.binaries import (
    PostgresBinaries,
    find_nats,
    find_postgres,
    reachable_nats,
    reachable_postgres,
)
from api.embedded.failure import StackFailed
from api.embedded.nats import Nats, NatsAuth, NatsSetup
from api.embedded.postgres import Postgres, PostgresSetup, Profile
from api.embedded.server import Server
from api.embedded.watch import Incident, Watch, WatchConfig


class PostgresOptions(Struct, frozen=True, kw_only=True):
    """``tcp_port``: also listen on 127.0.0.1, for clients with ``tcp_password``."""

    profile: Profile = "durable"
    tcp_port: int | None = None
    tcp_password: str | None = None
    binaries: PostgresBinaries | None = None  # None: wheel, then PATH


class NatsOptions(Struct, frozen=True, kw_only=True):
    """``port`` None: a free one, kept between starts."""

    auth: NatsAuth
    port: int | None = None
    sync_interval: str = "2m"


class StackConfig(Struct, frozen=True, kw_only=True):
    """What to run in ``data_dir``. A server set to None runs elsewhere."""

    data_dir: Path
    postgres: PostgresOptions | None = PostgresOptions()
    nats: NatsOptions | None = None
    watch: WatchConfig = WatchConfig()


class Endpoints(Struct, frozen=True, kw_only=True):
    """Where a running stack is reached; what another terminal's ``owl`` reads."""

    pid: int
    database_url: str | None
    nats_url: str | None


class EmbeddedStack:
    """Both servers, from ``with`` to its end. Neither outlives this process."""

    def __init__(self, config: StackConfig) -> None:
        self._config = config
        self._postgres: Postgres | None = None
        self._nats: Nats | None = None
        self._servers: list[Server] = []
        self._closing = ExitStack()

    @property
    def database_url(self) -> str:
        """The platform's database, as a libpq URL by the socket."""
        return self._running_postgres.url()

    def url(self, database: str) -> str:
        """Another database of the same cluster, as the platform's role."""
        return self._running_postgres.url(database)

    @property
    def tcp_database_url(self) -> str | None:
        """The same by TCP with the password; None unless a port was asked for."""
        return self._running_postgres.tcp_url()

    def superuser_url(self) -> str:
        """For an operator's tools; the platform itself never needs it."""
        return self._running_postgres.url("postgres", role="postgres")

    @property
    def nats_url(self) -> str:
        """The platform's own access to the broker, credentials included."""
        return self._running_nats.url

    @property
    def nats_address(self) -> str:
        """The broker's address as agents are told it, without credentials."""
        return self._running_nats.address

    @property
    def servers(self) -> dict[str, Server]:
        """The servers by their names, for status and for tests of faults."""
        return {server.name: server for server in self._servers}

    def wipe_nats(self) -> None:
        """Stop the broker, lose everything it held, start it on the same port."""
        server = self.servers[Nats.name]
        server.stop()
        self._running_nats.wipe()
        server.start()

    def __enter__(self) -> Self:
        """Start both at once; returns when both take work.

        Raises:
            StackFailed: no binaries, the directory has an owner, or a server would not
                start. Nothing is left running.
        """
        with ExitStack() as opened:
            opened.enter_context(own(self._config.data_dir))
            self._build()
            for server in self._servers:
                opened.callback(server.stop)
            start_together(self._servers)
            self._publish(opened)
            self._closing = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop both, the broker first: it is the one that others still talk to."""
        self._closing.close()

    async def watch(self, report: Callable[[Incident], None]) -> None:
        """Restart what crashes, until cancelled; ``report`` hears of it on this event loop.

        Raises:
            ExceptionGroup: of one StackFailed, when a server stays down.
        """
        async with asyncio.TaskGroup() as tasks:
            for server in self._servers:
                tasks.create_task(Watch(server, self._config.watch, report).run())

    @property
    def _running_postgres(self) -> Postgres:
        assert self._postgres is not None, "this stack runs no PostgreSQL"
        return self._postgres

    @property
    def _running_nats(self) -> Nats:
        assert self._nats is not None, "this stack runs no NATS"
        return self._nats

    def _build(self) -> None:
        config, account = self._config, server_account()
        home = server_home(config.data_dir.resolve(), account)
        self._servers = []
        if config.postgres is not None:
            found = config.postgres.binaries or find_postgres()
            self._postgres = Postgres(
                PostgresSetup(
                    directory=home / "postgres",
                    binaries=reachable_postgres(found, account, home),
                    account=account,
                    profile=config.postgres.profile,
                    tcp_port=config.postgres.tcp_port,
                    tcp_password=config.postgres.tcp_password,
                )
            )
            self._servers.append(Server(self._postgres))
        if config.nats is not None:
            self._nats = Nats(
                NatsSetup(
                    directory=home / "nats",
                    program=reachable_nats(find_nats(), account, home),
                    account=account,
                    auth=config.nats.auth,
                    port=config.nats.port,
                    sync_interval=config.nats.sync_interval,
                )
            )
            self._servers.append(Server(self._nats))

    def _publish(self, opened: ExitStack) -> None:
        path = endpoints_path(self._config.data_dir)
        endpoints = Endpoints(
            pid=os.getpid(),
            database_url=None if self._postgres is None else self._postgres.url(),
            nats_url=None if self._nats is None else self._nats.url,
        )
        write_private(path, msgspec.json.encode(endpoints).decode(), None)
        opened.callback(path.unlink, missing_ok=True)


def own(data_dir: Path) -> IO[str]:
    """Become the directory's one owner for as long as the returned file is open.

    Raises:
        StackFailed: another process is, or the directory is not ours to write.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = (data_dir / "owner.lock").open("a+", encoding="ascii")
    except PermissionError as error:
        raise StackFailed(
            f"{data_dir} belongs to another user: choose another data directory."
        ) from error
    except OSError as error:
        raise StackFailed(
            f"{data_dir} cannot hold data ({error.strerror}): choose another data directory."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise StackFailed(
            f"Owl Factory already runs here: process {owner} owns {data_dir}. Use that one;"
            " or stop it; or choose another data directory (--data-dir)."
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def running_endpoints(data_dir: Path) -> Endpoints | None:
    """How to reach the stack that runs in ``data_dir``; None when none does."""
    path = endpoints_path(data_dir)
    try:
        endpoints = msgspec.json.decode(path.read_bytes(), type=Endpoints)
        with own(data_dir):
            return None  # nobody owns it: what is written there is of a run that was killed
    except FileNotFoundError:
        return None
    except StackFailed:
        return endpoints


def endpoints_path(data_dir: Path) -> Path:
    """The file that tells where a running stack is."""
    return data_dir / "endpoints.json"


def start_together(servers: list[Server]) -> None:
    """Start all at once.

    Raises:
        StackFailed: the first that failed; the others are left to the caller to stop.
    """
    with ThreadPoolExecutor(max_workers=max(1, len(servers))) as pool:
        for started in [pool.submit(server.start) for server in servers]:
            started.result()
