"""``owl migrate``: bring the database's tables up to date."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from api.programs.failing import in_words
from api.programs.options import database_of, settings_from, with_database
from commands.event_log.migrate import migrate
from projections.migrate import prepare


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print what is outdated as JSON.")
@with_database
def command(*, as_json: bool, **options: Any) -> None:
    """Bring the event log and the read models' tables up to date; safe to run again.

    `owl serve` and `owl work` do the same when they start.
    """
    with in_words():
        database_url = database_of(settings_from(**options))
        migrate(database_url)
        outdated = list(prepare(database_url))
    if as_json:
        click.echo(msgspec.json.encode({"outdated": outdated}).decode())
        return
    for name in outdated:
        click.echo(f"{name} was built by another version: owl projections rebuild {name}")
    click.echo("the database is up to date")
