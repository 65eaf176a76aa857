"""Options that several programs share: what they override of the environment's settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from api.embedded.stack import running_endpoints
from api.programs.failing import Unreachable
from api.settings import Settings, load

F = TypeVar("F", bound=Callable[..., Any])

_ELSEWHERE = (
    "no `owl up` runs here: start it (`python3 dev.py up`), go to the folder in which it runs,"
    " or name its data with OWL_DATA_DIR"
)
_DATABASE = f"{_ELSEWHERE}; where Postgres is a server of its own, set OWL_DATABASE_URL"
_NOT_ITS_BROKER = (
    "the database named by OWL_DATABASE_URL or --database-url is not that of the `owl up` here,"
    " whose broker is none of its own: name the right one with OWL_NATS_URL"
)
_BROKER = f"{_ELSEWHERE}; where NATS is a server of its own, set OWL_NATS_URL"


def with_database(command: F) -> F:
    """``--database-url``: which database, instead of OWL_DATABASE_URL."""
    return click.option("--database-url", metavar="URL", help="Instead of OWL_DATABASE_URL.")(
        command
    )


def with_servers(command: F) -> F:
    """``--database-url`` and ``--nats-url``."""
    return with_database(
        click.option("--nats-url", metavar="URL", help="Instead of OWL_NATS_URL.")(command)
    )


def database_of(settings: Settings) -> str:
    """The database's URL; without one, that of an ``owl up`` in the data directory.

    Raises:
        Unreachable: none is set and nothing runs there.
    """
    if settings.database_url is not None:
        return settings.database_url
    running = running_endpoints(Path(settings.data_dir))
    if running is None or running.database_url is None:
        raise Unreachable(_DATABASE)
    return running.database_url


def servers_of(settings: Settings) -> tuple[str, str]:
    """The URLs of database and broker; as above, both of one platform.

    A copy of a log that was started beside a live ``owl up`` would write into its streams.

    Raises:
        Unreachable: one is not set and nothing runs there.
        click.UsageError: what runs there is of another database.
    """
    if settings.nats_url is not None:
        return database_of(settings), settings.nats_url
    running = running_endpoints(Path(settings.data_dir))
    if running is None or running.nats_url is None:
        raise Unreachable(_BROKER)
    if settings.database_url not in {None, running.database_url}:
        raise click.UsageError(_NOT_ITS_BROKER)
    return database_of(settings), running.nats_url


def settings_from(**overrides: Any) -> Settings:
    """The environment's settings with the options that were given."""
    return load(**overrides)
