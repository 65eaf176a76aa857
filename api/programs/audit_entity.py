"""``owl audit history | state | diff``: an entity through time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from api.programs.audit_asking import (
    BARE_DATE,
    ENTITY,
    MOMENT,
    Connection,
    asked,
    print_changes,
    print_line,
    snapshots_of,
    text_of,
)
from api.programs.failing import CalledWrongly
from api.programs.json_answers import as_json, print_json
from api.programs.options import with_database
from projections.audit import entity as entities
from projections.audit import story
from projections.audit.entity import Entity


@click.command()
@click.argument("entity", type=ENTITY)
@as_json
@with_database
def history(entity: Entity, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Tell all that happened to ENTITY: who, when, why, and what it changed.

    ENTITY is user:ID, task:ID, server:ID or code:ID; `owl admin users list` shows users' ids.
    """

    async def read(connection: Connection) -> list[entities.Step]:
        return await entities.history(connection, entity, await story.head(connection))

    steps = asked(options, read)
    if as_json:
        print_json(steps)
        return
    for step in steps:
        print_line(step.entry, as_json=False)
        cause = step.entry.causation_id
        because = "" if cause is None else f", because of {cause}"
        click.echo(f"{'':>10}  request {step.entry.correlation_id}{because}")
        print_changes(step.changes)


@click.command()
@click.argument("entity", type=ENTITY)
@click.option(
    "--at", type=MOMENT, help=f"After this position, or at this time; else now.{BARE_DATE}"
)
@click.option("--whole", is_flag=True, help="From its first event on, by the log alone.")
@as_json
@with_database
def state(
    entity: Entity,
    at: int | datetime | None,
    whole: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Show what ENTITY was at any moment, folded from its own events.

    ENTITY is user:ID, task:ID, server:ID or code:ID; `owl admin users list` shows users' ids.

    From the last state that the platform has kept and sealed; --whole believes none.
    """
    kept = None if whole else snapshots_of(options)

    async def read(connection: Connection) -> tuple[int, entities.Shape]:
        head = await story.head(connection)
        position = await story.position_of(connection, at)
        position = head if position is None else min(position, head)
        return position, await entities.state(connection, entity, position, snapshots=kept)

    position, shape = asked(options, read)
    if as_json:
        print_json({"position": position, "state": shape})
        return
    when = at.isoformat() if isinstance(at, datetime) else f"position {position}"
    click.echo(f"after position {position}:" if shape else f"nothing of it by {when}")
    for name, value in shape.items():
        click.echo(f"  {name:<28}{text_of(value)}")


@click.command()
@click.argument("before", type=MOMENT)
@click.argument("after", type=MOMENT)
@click.option("--entity", type=ENTITY, help="What changed of it; without it, which streams.")
@as_json
@with_database
def diff(
    before: int | datetime,
    after: int | datetime,
    entity: Entity | None,
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Show what changed between two positions or times. A bare date is 00:00 UTC."""
    kept = None if entity is None else snapshots_of(options)

    async def read(connection: Connection) -> Any:
        first = await story.position_of(connection, before) or 0
        last = await story.position_of(connection, after) or 0
        if last < first:
            raise CalledWrongly(f"{after} is before {before}: give the earlier one first")
        if entity is None:
            return await entities.changed_streams(connection, first, last)
        return entities.differences(
            await entities.state(connection, entity, first, snapshots=kept),
            await entities.state(connection, entity, last, snapshots=kept),
        )

    found = asked(options, read)
    if as_json:
        print_json(found)
    elif not found:
        click.echo(f"nothing changed between {before} and {after}", err=True)
    elif entity is not None:
        print_changes(found)
    else:
        for each in found:
            versions = f"{each.first_version} to {each.last_version}"
            click.echo(f"{each.stream}  {each.category:<10} versions {versions}")
