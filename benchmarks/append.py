"""Rows 1, 2 and 3: durable domain commands through our writer, and a lone one's latency.

Limit: pgbench inserting single rows of 300 bytes into the library's own table layout, by 32
clients (1 for the latency). Peer: ``Application.save`` of a new aggregate with one event, by 32
threads. Ours: 128 submitters in one event loop issue one recharge code per command, the real
handler: a new stream, one fact of like size, envelope, version check, three indexes. All on one
PostgreSQL with fsync on, by its Unix socket.
"""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from psycopg.conninfo import conninfo_to_dict

from api.embedded.binaries import find_postgres
from api.programs.long_running import run_long
from benchmarks.measure import Options, Ratio, measure, options, tell
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from commands.recharge import IssueCodes, NewCode, RedeemCode, issue_codes, redeem_code
from commands.writer import Writer
from domain.envelope import Actor, Context
from domain.ids import uuid7
from tests.stack import LiveStack, live_stack

SUBMITTERS = 128
THREADS = 32
STATE_BYTES = 300
EXPIRY = datetime(2030, 1, 1, tzinfo=UTC)
USERS = [uuid4() for _ in range(1_000)]
ADMIN = Actor("admin", str(uuid4()))

TABLE = """
    CREATE TABLE stored_events (originator_id uuid NOT NULL, originator_version bigint NOT NULL,
        topic text, state bytea, notification_id bigserial,
        PRIMARY KEY (originator_id, originator_version));
    CREATE UNIQUE INDEX ON stored_events (notification_id)
"""
INSERT = (
    "INSERT INTO stored_events (originator_id, originator_version, topic, state) VALUES"
    " (gen_random_uuid(), 1, 'recharge.code_issued/1', decode(repeat('6f', {bytes}), 'hex'));"
)


def fresh_id() -> UUID:
    """A time-ordered id, as the API makes them."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


def context() -> Context:
    """A command's envelope, as the API makes it."""
    return Context(command_id=fresh_id(), actor=ADMIN, correlation_id="0193c2a1-bench-request")


class Pgbench:
    """The limit."""

    def __init__(self, url: str, directory: Path) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(TABLE)
        self._where = conninfo_to_dict(url)
        self._script = directory / "insert.sql"
        self._script.write_text(INSERT.format(bytes=STATE_BYTES), encoding="ascii")

    def commits_per_s(self, clients: int, seconds: float) -> float:
        """Single-row commits."""
        where = self._where
        done = subprocess.run(
            [
                str(find_postgres().directory / "pgbench"),
                *("-n", "-M", "prepared", "-f", str(self._script)),
                *("-c", str(clients), "-j", str(min(clients, 2))),
                *("-T", str(max(1, round(seconds)))),
                *("-h", str(where["host"]), "-p", str(where["port"])),
                *("-U", str(where["user"]), str(where["dbname"])),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        found = re.search(r"tps = ([\d.]+) \(without", done.stdout)
        assert found is not None, done.stdout
        return float(found[1])


class Thing(Aggregate):
    """The peer's aggregate."""

    def __init__(self, text: str) -> None:
        self.text = text


class Peer:
    """The library as its documentation shows it."""

    def __init__(self, url: str) -> None:
        where = conninfo_to_dict(url)
        self._application: Application[UUID] = Application(
            {
                "PERSISTENCE_MODULE": "eventsourcing.postgres",
                "POSTGRES_DBNAME": str(where["dbname"]),
                "POSTGRES_HOST": str(where["host"]),
                "POSTGRES_PORT": str(where["port"]),
                "POSTGRES_USER": str(where["user"]),
                "POSTGRES_PASSWORD": "",
                "POSTGRES_POOL_SIZE": str(THREADS),
            }
        )

    def saves_per_s(self, seconds: float) -> float:
        """New aggregates with one event each."""
        counts = [0] * THREADS
        began = time.perf_counter()

        def save(number: int) -> None:
            while time.perf_counter() - began < seconds:
                self._application.save(Thing("o" * STATE_BYTES))
                counts[number] += 1

        threads = [threading.Thread(target=save, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - began)

    def close(self) -> None:
        """Give the connections back."""
        self._application.close()


class Ours:
    """The writer."""

    def __init__(self, url: str) -> None:
        secrets = Secrets(pepper=os.urandom(32), sealing_key=os.urandom(32))
        self._log = EventLog.open(url, secrets=secrets, require_durable=True)
        self._codes: list[UUID] = []
        self._redeemed = 0

    def issues_per_s(self, seconds: float) -> float:
        """Commands with one event in a new stream each."""
        return run_long(self._rate(self._issue, seconds))

    def redeems_per_s(self, seconds: float) -> float:
        """Commands that read two streams and append to both."""
        return run_long(self._rate(self._redeem, seconds))

    def lone_p50_ms(self, seconds: float) -> float:
        """How long one command takes with nothing else to do."""
        return run_long(self._lone(seconds))

    def close(self) -> None:
        """Give the connections back."""
        self._log.close()

    async def _rate(self, one: Callable[[Writer], Awaitable[None]], seconds: float) -> float:
        done = 0
        async with Writer(self._log, lambda: datetime.now(UTC)) as writer:
            began = time.perf_counter()

            async def submit() -> None:
                nonlocal done
                while time.perf_counter() - began < seconds:
                    await one(writer)
                    done += 1

            await asyncio.gather(*(submit() for _ in range(SUBMITTERS)))
            return done / (time.perf_counter() - began)

    async def _lone(self, seconds: float) -> float:
        took = []
        async with Writer(self._log, lambda: datetime.now(UTC)) as writer:
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                began = time.perf_counter()
                await self._issue(writer)
                took.append(time.perf_counter() - began)
        return statistics.median(took) * 1_000

    async def _issue(self, writer: Writer) -> None:
        code_id = fresh_id()
        command = IssueCodes(
            batch_id=code_id,
            codes=(NewCode(code_id, "OWL-••••-7QZM", "c2VhbGVk" * 6),),
            amount_fen=10_000,
            max_uses=100,
            expires_at=EXPIRY,
            description="开业酬宾",
            at=datetime.now(UTC),
        )
        await writer.run(issue_codes, command, context())
        if len(self._codes) < 20_000:
            self._codes.append(code_id)

    async def _redeem(self, writer: Writer) -> None:
        number = self._redeemed
        self._redeemed += 1
        code_id = self._codes[number % len(self._codes)]
        command = RedeemCode(
            code_id=code_id,
            user_id=USERS[number // len(self._codes)],
            record_id=fresh_id(),
            at=EXPIRY - timedelta(days=1),
        )
        await writer.run(redeem_code, command, context())


RATIOS = (
    Ratio(
        row=1,
        name="commands/s over pgbench, 32 clients",
        ours="ours: issue a code, 128 submitters, /s",
        other="limit: pgbench INSERT, 32 clients, /s",
        target=1.0,
        moonshot=2.0,
    ),
    Ratio(
        row=2,
        name="commands/s over Application.save, 32 threads",
        ours="ours: issue a code, 128 submitters, /s",
        other="peer: Application.save, 32 threads, /s",
        target=15,
        moonshot=30,
    ),
    Ratio(
        row=3,
        name="a lone command's p50 over pgbench's mean, 1 client",
        ours="ours: issue a code, alone, p50 ms",
        other="limit: pgbench INSERT, 1 client, mean ms",
        target=2.0,
        moonshot=1.3,
        less_is_better=True,
    ),
)


def run(stack: LiveStack, chosen: Options, directory: Path) -> None:
    """Build the contestants, race them, say how it went."""
    seconds = chosen.seconds
    with ExitStack() as open_:
        ours = Ours(stack.create_database())
        open_.callback(ours.close)
        peer = Peer(stack.create_database())
        open_.callback(peer.close)
        pgbench = Pgbench(stack.create_database(), directory)
        contestants: dict[str, Callable[[], float]] = {
            RATIOS[0].other: lambda: pgbench.commits_per_s(32, seconds),
            RATIOS[0].ours: lambda: ours.issues_per_s(seconds),
            RATIOS[1].other: lambda: peer.saves_per_s(seconds),
            "ours: redeem a code (2 streams, 2 events), /s": lambda: ours.redeems_per_s(
                seconds
            ),
            RATIOS[2].other: lambda: 1_000 / pgbench.commits_per_s(1, seconds),
            RATIOS[2].ours: lambda: ours.lone_p50_ms(seconds),
        }
        tell(measure(contestants, RATIOS, chosen), chosen)


def main() -> None:
    """Measure and tell."""
    chosen = options(__doc__ or "")
    with (
        tempfile.TemporaryDirectory() as directory,
        live_stack(profile="durable", with_nats=False) as stack,
    ):
        run(stack, chosen, Path(directory))


if __name__ == "__main__":
    main()
