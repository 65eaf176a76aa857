"""``owl audit replay``: read models as they were at a position, in a sandbox."""

from __future__ import annotations

import asyncio
import shlex
from datetime import datetime
from typing import Any

import click
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api.programs.audit_asking import BARE_DATE, MOMENT
from api.programs.audit_verify import progress_bar
from api.programs.failing import ProgramFailed
from api.programs.json_answers import as_json, print_json
from api.programs.options import with_database
from api.programs.projections_open import Opening, opened
from projections.audit import story
from projections.catalogue import BUSINESS
from projections.progress import Progress
from projections.replay import ReplayFailed, SchemaTaken
from projections.replay import replay as replay_into

OPEN = sql.SQL("SET search_path TO {}")
DROP = sql.SQL("DROP SCHEMA {} CASCADE")
NAMES = [model.name for model in BUSINESS]


@click.command()
@click.option(
    "--to",
    "upto",
    type=MOMENT,
    required=True,
    help=f"This position, or this time.{BARE_DATE}",
)
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

    Its tables are then asked in SQL; how to open the schema, and how to drop it, is told. They
    hold personal fields in the clear, as read models do, and `owl privacy erase` does not know
    of them: drop the schema when your question is over.
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
    to_open, to_drop = (each.format(sql.Identifier(into)).as_string() for each in (OPEN, DROP))
    if as_json:
        told = {"schema": into, "position": position, "tables": found}
        print_json({**told, "to_open": to_open, "to_drop": to_drop})
        return
    click.echo(f"as of position {position}, in the schema {into}:")
    for each in found:
        click.echo(f"  {each.table:<28}{each.rows:>12} rows")
    psql = f"psql {shlex.quote(_without_password(opening.database_url))}"
    click.echo(f"to ask it: {psql}, and there {to_open};", err=True)
    click.echo(f"when the question is answered: {to_drop};", err=True)


def _without_password(database_url: str) -> str:
    told = conninfo_to_dict(database_url)
    told.pop("password", None)
    return make_conninfo("", **told)


async def _position(opening: Opening, upto: int | datetime) -> int:
    async with await psycopg.AsyncConnection.connect(
        opening.database_url, autocommit=True
    ) as connection:
        position = await story.position_of(connection, upto) or 0
        head = await story.head(connection)
    if position > head:
        raise ProgramFailed(f"the log ends at {head}")
    return position
