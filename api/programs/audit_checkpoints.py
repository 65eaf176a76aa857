"""``owl audit checkpoint | checkpoints``: what the notary has signed, to be kept elsewhere."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from api.audit_shapes import listed_checkpoints
from api.programs.audit_asking import BARE_DATE, MOMENT
from api.programs.audit_log import opened_log
from api.programs.failing import ProgramFailed
from api.programs.json_answers import as_json, print_json
from api.programs.options import with_database

LISTED = 20
at_moment = click.option(
    "--at", type=MOMENT, help=f"As it was at this position or time.{BARE_DATE}"
)


@click.command()
@at_moment
@as_json
@with_database
def checkpoint(at: int | datetime | None, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Print the newest signed checkpoint: keep it, and `verify --checkpoint` against it."""
    with opened_log(options) as (_, log):
        found = log.checkpoints_upto(at, 1)
    if not found:
        then = "yet: `owl work` runs the notary" if at is None else f"by {at}"
        raise ProgramFailed(f"nothing was signed {then}")
    if as_json:
        print_json({"checkpoint": found[0].note})
    else:
        click.echo(found[0].note, nl=False)


@click.command()
@at_moment
@click.option("--limit", type=click.IntRange(1, 10_000), default=LISTED, show_default=True)
@as_json
@with_database
def checkpoints(
    at: int | datetime | None,
    limit: int,
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """List what the notary has signed, the newest last; `checkpoint --at` prints one whole."""
    with opened_log(options) as (_, log):
        found = log.checkpoints_upto(at, limit + 1)
    listed = listed_checkpoints(found, limit)
    if as_json:
        print_json(listed.items)
        return
    for one in listed.items:
        signed_at = one.signed_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        click.echo(f"{one.size:>10}  {signed_at}  {one.root}  key {one.key_id}")
    if listed.next_at is not None:
        click.echo(f"the newest {limit}; older ones: --at {listed.next_at}", err=True)
