"""``owl audit replay``: read models as they were at a position, in a sandbox."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import click
import psycopg
from psycopg import sql

from api.programs.audit_asking import MOMENT
from api.programs.audit_log import as_json, print_json
from api.programs.audit_verify import progress_bar
from api.programs.failing import ProgramFailed
from api.programs.options import with_database
from api.programs.projections_open import Opening, opened
from projections.audit import story
from projections.catalogue import BUSINESS
from projections.progress import Progress
from projections.replay import Replayed, ReplayFailed, SchemaTaken
from projections.replay import replay as replay_into

DROP = sql.SQL("DROP SCHEMA {} CASCADE")
NAMES = [model.name for model in BUSINESS]


@click.command()
@click.option("--to", "upto", type=MOMENT, required=True, help="This position, or this time.")
@click.option(
    "--projection",
    "names",
    multiple=True,
    type=click.Choice(NAMES),
    metavar="NAME",
    help="Again for several; without it, every read model of the business log.",
)
@click.option("--into", required=True, metavar="SCHEMA", help="A new schema of the database.")
@as_json
@with_database
def replay(
    upto: int | datetime,
    names: tuple[str, ...],
    into: str,
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Replay read models up to a position into SCHEMA; what is live is never touched.

    Its tables are then asked in SQL. They hold personal fields in the clear, as read models do,
    and `owl privacy erase` does not know of them: drop the schema when your question is over.
    """
    models = [model for model in BUSINESS if not names or model.name in names]
    with opened(options) as opening:
        position = asyncio.run(_position(opening, upto))
        with progress_bar("replaying") as bar:

            def show(at: Progress) -> None:
                bar(at.position, at.upto)

            try:
                found = replay_into(
                    opening.database_url,
                    opening.log.history(),
                    models,
                    into=into,
                    upto=position,
                    progress=show,
                )
            except (SchemaTaken, ReplayFailed) as error:
                raise ProgramFailed(str(error)) from error
    if as_json:
        print_json({"schema": into, "position": position, "tables": found})
    else:
        _print(found, into, position)


def _print(found: tuple[Replayed, ...], into: str, position: int) -> None:
    click.echo(f"as of position {position}, in the schema {into}:")
    for each in found:
        click.echo(f"  {each.table:<28}{each.rows:>12} rows")
    drop = DROP.format(sql.Identifier(into)).as_string()
    click.echo(f"when the question is answered: {drop}", err=True)


async def _position(opening: Opening, upto: int | datetime) -> int:
    async with await psycopg.AsyncConnection.connect(
        opening.database_url, autocommit=True
    ) as connection:
        position = await story.position_of(connection, upto) or 0
        head = await story.head(connection)
    if position > head:
        raise ProgramFailed(f"the log ends at {head}")
    return position
