"""``owl doctor``: what this machine has, and what stands in the way, one line each."""

from __future__ import annotations

import asyncio
import errno
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import click
import httpx
import msgspec
import psycopg
from msgspec import Struct
from nats.aio.client import Client
from nats.errors import Error as NatsError
from rich.text import Text

from api.client.screen import console
from api.client.wording import clean
from api.embedded.binaries import find_nats, find_postgres
from api.embedded.failure import StackFailed
from api.keys import KeysMissing, load_keys
from api.programs.failing import ProgramFailed, in_words
from api.programs.http_server import listen
from api.programs.options import database_of, servers_of, settings_from, with_servers
from api.settings import Settings

DISK_FREE_MIN_GIB = 2
TIMEOUT_S = 3
OLDEST_POSTGRES = 150_000
_DURABILITY = ("fsync", "synchronous_commit", "full_page_writes")

Verdict = Literal["ok", "note", "bad"]
_MARKS: dict[Verdict, str] = {"ok": "[green]✓[/]", "note": "[yellow]·[/]", "bad": "[red]✗[/]"}


_OF_ALL = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked, not listened at


class _Alive(Struct):
    """What `/health/live` answers."""

    data: dict[str, str]


class Finding(Struct, frozen=True):
    """One thing that was looked at. ``bad`` stops the platform from starting."""

    about: str
    verdict: Verdict
    says: str


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@with_servers
def command(*, as_json: bool, **options: str | None) -> None:
    """Check Python, servers, keys, port and disk; exit code 1 when something is bad."""
    with in_words():
        settings = settings_from(**options)
    checks: tuple[Callable[[Settings], Finding], ...] = (
        _python,
        _postgres_binaries,
        _nats_binary,
        _database,
        _broker,
        _keys,
        _port,
        _disk,
    )
    findings = [check(settings) for check in checks]
    if as_json:
        click.echo(msgspec.json.encode(findings).decode())
    else:
        page = console()
        for found in findings:
            mark = Text.from_markup(_MARKS[found.verdict])
            page.print(Text.assemble(mark, " ", clean(f"{found.about}: {found.says}")))
    if any(found.verdict == "bad" for found in findings):
        raise ProgramFailed("something is in the way: see the lines marked ✗")


def _python(_settings: Settings) -> Finding:
    return Finding("Python", "ok", f"{platform.python_version()} on {platform.platform()}")


def _postgres_binaries(_settings: Settings) -> Finding:
    try:
        return Finding("embedded PostgreSQL", "ok", str(find_postgres().directory))
    except StackFailed as error:
        return Finding("embedded PostgreSQL", "note", str(error))


def _nats_binary(_settings: Settings) -> Finding:
    try:
        return Finding("embedded NATS", "ok", str(find_nats()))
    except StackFailed as error:
        return Finding("embedded NATS", "note", str(error))


def _database(settings: Settings) -> Finding:
    about = "database"
    try:
        url = database_of(settings)
    except click.ClickException as error:
        return Finding(about, "note", error.message)
    try:
        with psycopg.connect(url, connect_timeout=TIMEOUT_S) as connection:
            version = connection.info.server_version
            off = [
                name
                for name in _DURABILITY
                if connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
                == ("off",)
            ]
    except psycopg.Error as error:
        return Finding(about, "bad", str(error).strip())
    if version < OLDEST_POSTGRES:
        return Finding(about, "bad", f"PostgreSQL {version // 10_000}: 15 or newer is needed")
    if off:
        return Finding(about, "bad", f"may lose commits: turn on {', '.join(off)}")
    return Finding(about, "ok", f"PostgreSQL {version // 10_000}.{version % 10_000}")


def _broker(settings: Settings) -> Finding:
    about = "broker"
    try:
        _, url = servers_of(settings)
    except click.ClickException as error:
        return Finding(about, "note", error.message)
    try:
        return Finding(about, "ok", asyncio.run(asyncio.wait_for(_asked(url), TIMEOUT_S)))
    except (NatsError, OSError, TimeoutError) as error:
        return Finding(about, "bad", str(error) or "no answer in time")


async def _asked(url: str) -> str:
    client = Client()

    async def silent(_error: Exception) -> None:
        """Said once by the caller."""

    try:
        await client.connect(
            url.split(","), connect_timeout=TIMEOUT_S, allow_reconnect=False, error_cb=silent
        )
        version = client.connected_server_version
        return f"nats-server {version.major}.{version.minor}.{version.patch}"
    finally:
        await client.close()


def _keys(settings: Settings) -> Finding:
    try:
        load_keys(settings.secrets_path, make=False)
    except KeysMissing as error:
        # `owl up` and the dev profile make their own
        verdict: Verdict = "note" if settings.database_url is None else "bad"
        return Finding("keys", verdict, str(error))
    return Finding("keys", "ok", str(settings.secrets_path))


def _port(settings: Settings) -> Finding:
    try:
        listen(settings.host, settings.port).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE and asyncio.run(_is_owl(settings)):
            return Finding("port", "ok", f"{settings.host}:{settings.port}: Owl itself listens")
        return Finding("port", "note", f"{settings.host}:{settings.port}: {error.strerror}")
    return Finding("port", "ok", f"{settings.host}:{settings.port} is free")


async def _is_owl(settings: Settings) -> bool:
    """Whether what listens at our port answers as our API does."""
    host = _OF_ALL.get(settings.host, settings.host)
    url = httpx.URL(scheme="http", host=host, port=settings.port, path="/health/live")
    try:
        async with asyncio.timeout(TIMEOUT_S), httpx.AsyncClient(trust_env=False) as client:
            answer = msgspec.json.decode((await client.get(url)).content, type=_Alive)
    except (httpx.HTTPError, TimeoutError, msgspec.DecodeError):
        return False
    return answer.data.get("status") == "live"


def _disk(settings: Settings) -> Finding:
    directory = Path(settings.data_dir).resolve()
    while not directory.exists():
        directory = directory.parent
    free_gib = shutil.disk_usage(directory).free / 2**30
    verdict: Verdict = "ok" if free_gib >= DISK_FREE_MIN_GIB else "bad"
    return Finding("disk", verdict, f"{free_gib:.1f} GiB free at {directory}")
