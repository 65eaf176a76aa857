"""Real servers for tests: a running embedded stack that hands out fresh databases.

A fresh database is a copy of a template with the event log's tables in it, made once per stack.
"""

import asyncio
import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nats
import nkeys
import psutil
import psycopg
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from psycopg import sql

from api.embedded.binaries import PostgresBinaries, postgres_in, postgres_on_path
from api.embedded.nats import NatsAuth
from api.embedded.postgres import ROLE, Profile
from api.embedded.stack import EmbeddedStack, NatsOptions, PostgresOptions, StackConfig
from commands.event_log.migrate import migrate

TEMPLATE = "template_log"
# Debian's and Ubuntu's place; elsewhere the programs are on PATH
POSTGRES15_DIRECTORY = Path("/usr/lib/postgresql/15/bin")
STREAM_PAGE = 256  # names the server lists at a time
ROOM_BYTES = 6 * 2**30  # three processes of tests, each with its servers


class LiveStack:
    """One stack of a test session or module, and the ways to hurt it."""

    def __init__(self, stack: EmbeddedStack, callout_seed: bytes) -> None:
        self.stack = stack
        self.callout_seed = callout_seed
        self._numbers = itertools.count(1)
        self._has_template = False

    @property
    def nats_url(self) -> str:
        """The platform's own access to the broker."""
        return self.stack.nats_url

    @property
    def nats_address(self) -> str:
        """The broker as an agent is told it, without credentials."""
        return self.stack.nats_address

    def create_database(self) -> str:
        """A new database with an empty event log; returns its conninfo."""
        if not self._has_template:
            self._create(TEMPLATE, template="template0")
            migrate(self.stack.url(TEMPLATE))
            self._has_template = True
        name = f"test_{next(self._numbers)}"
        # files are copied: to write each page into the log of changes takes twice as long
        self._create(name, template=TEMPLATE, strategy="FILE_COPY")
        return self.stack.url(name)

    def drop_database(self, conninfo: str) -> None:
        """Drop what ``create_database`` made, whoever is still connected."""
        name = str(psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"])
        self._as_superuser(
            sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        )

    def kill_postgres(self) -> None:
        """``kill -9`` on the postmaster."""
        self.stack.servers["PostgreSQL"].kill()

    def start_postgres(self) -> None:
        """Start it again, through crash recovery if it was killed."""
        self.stack.servers["PostgreSQL"].start()

    def kill_nats(self) -> None:
        """``kill -9`` on the broker."""
        self.stack.servers["NATS"].kill()

    def start_nats(self) -> None:
        """Start it again, on the same port."""
        self.stack.servers["NATS"].start()

    def wipe_nats(self) -> None:
        """Lose everything the broker held, as with its disk; it runs again afterwards."""
        self.stack.wipe_nats()

    def delete_streams(self) -> None:
        """Empty the broker while it runs: streams, key-value buckets and objects."""
        asyncio.run(delete_streams(self.nats_url))

    def _create(self, name: str, *, template: str, strategy: str = "WAL_LOG") -> None:
        statement = "CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY {}"
        named = map(sql.Identifier, (name, ROLE, template, strategy.lower()))
        self._as_superuser(sql.SQL(statement).format(*named))

    def _as_superuser(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.stack.superuser_url(), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def live_stack(
    *,
    profile: Profile = "test",
    binaries: PostgresBinaries | None = None,
    with_nats: bool = True,
) -> Iterator[LiveStack]:
    """A stack in a directory of its own, gone afterwards.

    NATS has an auth callout that nobody answers until a test does, with ``callout_seed``.
    """
    seed = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_ACCOUNT)
    auth = NatsAuth(
        platform_password=secrets.token_urlsafe(),
        callout_issuer_public_key=nkeys.from_seed(seed).public_key.decode(),
    )
    with data_directory(quickest_place() if profile == "test" else None) as data_dir:
        config = StackConfig(
            data_dir=data_dir,
            postgres=PostgresOptions(profile=profile, binaries=binaries),
            nats=NatsOptions(auth=auth) if with_nats else None,
        )
        with EmbeddedStack(config) as stack:
            yield LiveStack(stack, seed)


def quickest_place() -> Path | None:
    """Where files are kept in memory, if there is room: some thousand databases are made."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        return None
    room = min(shutil.disk_usage(memory).free, psutil.virtual_memory().available)
    return memory if room >= ROOM_BYTES else None


@contextmanager
def data_directory(parent: Path | None = None) -> Iterator[Path]:
    """A temporary directory that the servers' account may pass through, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="owl-test-", dir=parent))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def postgres15_binaries() -> PostgresBinaries | None:
    """PostgreSQL 15 of this machine, if it has one."""
    found = postgres_in(POSTGRES15_DIRECTORY) or postgres_on_path("/usr/local/bin:/usr/bin")
    return found if found is not None and found.major == 15 else None


async def heard(client: Client) -> None:
    """The broker knows what this client has said so far: what it listens to, before all.

    The library's ``flush`` writes its ping before what is still buffered, so that the answer
    may come ahead of a subscription; by then all was written, and a second ping is behind it.
    """
    await client.flush()
    await client.flush()


async def delete_streams(url: str) -> None:
    """Delete every stream of the platform's account."""
    client = await nats.connect(url)
    try:
        broker = client.jetstream()
        while streams := await broker.streams_info():
            for stream in streams:
                with suppress(NotFoundError):  # a test's client may be deleting it too
                    await broker.delete_stream(str(stream.config.name))
            if len(streams) < STREAM_PAGE:
                return
    finally:
        await client.close()
