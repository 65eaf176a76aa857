"""``owl migrate``: bring the database's tables up to date."""

from __future__ import annotations

from typing import Any

import click

from api.programs.failing import in_words
from api.programs.options import database_of, settings_from, with_database
from commands.event_log.migrate import migrate
from projections.migrate import prepare


@click.command()
@with_database
def command(**options: Any) -> None:
    """Bring the event log and the read models' tables up to date; safe to run again.

    `owl serve` and `owl work` do the same when they start.
    """
    with in_words():
        database_url = database_of(settings_from(**options))
        migrate(database_url)
        for name in prepare(database_url):
            click.echo(f"{name} was built by another version: owl projections rebuild {name}")
    click.echo("the database is up to date")
