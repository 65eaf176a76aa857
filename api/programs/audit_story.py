"""``owl audit log | show | trace``: what happened, and what led to what."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import msgspec
from msgspec.structs import asdict
from rich.tree import Tree

from api.client.screen import console
from api.client.wording import clean
from api.programs.audit_asking import (
    BARE_DATE,
    ENTITY,
    EVENT,
    MOMENT,
    USER,
    USERS_LISTED,
    YUAN,
    Connection,
    EventName,
    asked,
    event_named,
    nothing_found,
    print_line,
)
from api.programs.audit_log import force, may_write, opened_log
from api.programs.failing import ProgramFailed
from api.programs.json_answers import as_json, print_json
from api.programs.options import with_database
from projections.audit import story
from projections.audit.entity import Entity
from projections.audit.proving import NotSigned, prove_event
from projections.audit.stored import StoredLog
from projections.audit.story import Filter
from projections.audit.trace import Trace, Traced, trace_correlation, trace_position

FOLLOW_EVERY_S = 0.5


@click.command()
@click.option(
    "--from", "since", type=MOMENT, help=f"From this position, or after this time.{BARE_DATE}"
)
@click.option("--to", "until", type=MOMENT, help=f"Up to this position or time.{BARE_DATE}")
@click.option("--type", "tag", metavar="TAG", help="Such as wallet.* or tasks.task_failed/1.")
@click.option("--entity", type=ENTITY, help="In the streams of user:ID, task:ID, …")
@click.option("--stream", type=click.UUID, help="In this stream alone.")
@click.option("--actor", help="Such as admin:* or agent:ID.")
@click.option(
    "--account",
    metavar="USER",
    type=USER,
    help=f"About the user of this id, anywhere; {USERS_LISTED}.",
)
@click.option("--correlation", metavar="ID", help="Of this request.")
@click.option(
    "--min-amount",
    metavar="YUAN",
    type=YUAN,
    help="Of at least so many yuan. What is shown is as stored, with --json too: fen, in fields"
    " that end in _fen.",
)
@click.option("--limit", type=click.IntRange(1, story.PAGE_MAX), default=50, show_default=True)
@click.option("--follow", is_flag=True, help="Go on with what is still to come.")
@as_json
@with_database
def log(
    since: int | datetime | None,
    until: int | datetime | None,
    tag: str | None,
    entity: Entity | None,
    stream: UUID | None,
    actor: str | None,
    account: UUID | None,
    correlation: str | None,
    min_amount: int | None,
    limit: int,
    follow: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """List events, one a line; with --json each line is one event.

    The newest are shown, or with --from the first ones from there on; what is left out is said.
    """

    async def read(connection: Connection) -> None:
        after, last = await story.bounds(connection, since, until)
        streams = None if entity is None else tuple(entity.streams)
        if stream is not None:
            streams = (stream,) if streams is None or stream in streams else ()
        wanted = Filter(
            after=after,
            until=last,
            tag=tag,
            streams=streams,
            actor=actor,
            correlation=correlation,
            user_id=account,
            amount_fen=min_amount,
        )
        head = await story.head(connection)
        upto = head if last is None else min(last, head)
        wanted = msgspec.structs.replace(wanted, until=upto)
        newest = since is None
        found = await story.look(connection, wanted, limit, newest_first=newest)
        entries = found.entries[::-1] if newest else found.entries
        for each in entries:
            print_line(each, as_json=as_json)
        if not entries:
            click.echo(nothing_found(upto, tag), err=True)
        if not follow:
            _say_what_is_left_out(entries, found.onwards, newest=newest)
            return
        seen = upto if newest or found.onwards is None else found.onwards
        await _follow(connection, wanted, seen, as_json=as_json)

    asked(options, read)


def _say_what_is_left_out(
    entries: list[story.Entry], onwards: int | None, *, newest: bool
) -> None:
    if onwards is None or not entries:
        return
    if newest:
        hint = f"the newest up to {entries[-1].position}; from the first on: --from 1"
    else:
        hint = f"there are more: --from {onwards + 1}"
    shown = "1 event" if len(entries) == 1 else f"{len(entries)} events"
    click.echo(f"{shown} shown, {hint}", err=True)


async def _follow(connection: Connection, wanted: Filter, seen: int, *, as_json: bool) -> None:
    while True:
        head = max(seen, await story.head(connection))
        going_on = msgspec.structs.replace(wanted, after=seen, until=head)
        found = await story.look(connection, going_on, story.PAGE_MAX)
        for each in found.entries:
            print_line(each, as_json=as_json)
        seen = head if found.onwards is None else found.onwards
        if found.onwards is None:
            await asyncio.sleep(FOLLOW_EVERY_S)


@click.command()
@click.argument("event", type=EVENT)
@click.option("--raw", is_flag=True, help="The fact's bytes, as they are stored and hashed.")
@click.option("--proof", is_flag=True, help="A C2SP tlog-proof that the event is in the log.")
@as_json
@with_database
def show(
    event: EventName,
    raw: bool,  # noqa: FBT001
    proof: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Show one event whole: by its position, or by its id, STREAM/VERSION."""
    if proof:
        with opened_log(options) as (_, stored):
            click.echo(_proof(stored, event), nl=False)
        return
    found = _found(options, event)
    if raw:
        click.echo(bytes(found.fact), nl=False)
    elif as_json:
        print_json(found)
    else:
        for name, value in asdict(found).items():
            if name != "fact":
                click.echo(f"{name:<16}{'' if value is None else value}")
        click.echo(msgspec.json.format(bytes(found.fact), indent=2).decode())


@click.command()
@click.argument("event", type=EVENT)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False))
@force
@with_database
def receipt(
    event: EventName,
    output: Path | None,
    force: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Write down that an event is in the log: a C2SP tlog-proof, which stands alone.

    It holds the signed checkpoint, the path to it and the envelope, not what the event says.
    """
    may_write(output, force=force)
    with opened_log(options) as (_, stored):
        text = _proof(stored, event)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"{output} proves that {event} is in the log")


@click.command()
@click.argument("what", metavar="POSITION|STREAM/VERSION|CORRELATION")
@click.option(
    "--format",
    "form",
    type=click.Choice(["tree", "dot", "json"]),
    default="tree",
    show_default=True,
)
@as_json
@with_database
def trace(what: str, form: str, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Draw all that one request led to, each event under what caused it.

    The request is named by any of its events, by position or id, or by its own id.
    """
    event = event_named(what)

    async def read(connection: Connection) -> Trace:
        if event is None:
            return await trace_correlation(connection, what)
        if isinstance(event, int):
            _must_be_there(event, await story.head(connection))
            return await trace_position(connection, event)
        found = await story.entry_of(connection, event.stream, event.version)
        if found is None:
            return Trace([], is_complete=True)
        return await trace_position(connection, found.position)

    trace = asked(options, read)
    found = trace.events
    if not found:
        raise ProgramFailed(f"no event is of {what}")
    if not trace.is_complete:
        click.echo(f"there is more of it than {len(found)} events", err=True)
    if as_json or form == "json":
        print_json(found)
    elif form == "dot":
        _print_dot(found)
    else:
        _draw(found)


def _draw(found: list[Traced]) -> None:
    above = [Tree(clean(f"request {found[0].entry.correlation_id}"))]
    for here in found:
        each = here.entry
        del above[here.depth + 1 :]
        line = f"{each.position}  {each.tag}  {each.actor}  {each.stream}"
        above.append(above[-1].add(clean(line)))
    console().print(above[0], crop=False, soft_wrap=True)


def _print_dot(found: list[Traced]) -> None:
    known = {here.entry.position for here in found}
    click.echo("digraph trace {")
    for each in (here.entry for here in found):
        click.echo(f'  {each.position} [label="{each.position} {each.tag}"];')
        if each.causation_id in known:
            click.echo(f"  {each.causation_id} -> {each.position};")
    click.echo("}")


def _must_be_there(position: int, head: int) -> None:
    if position > head:
        raise ProgramFailed(f"there is no event {position}: the log ends at event {head}")


def _found(options: dict[str, Any], event: EventName) -> story.Entry:
    async def read(connection: Connection) -> story.Entry | None:
        if isinstance(event, int):
            _must_be_there(event, await story.head(connection))
            return await story.entry_at(connection, event)
        return await story.entry_of(connection, event.stream, event.version)

    found = asked(options, read)
    if found is None:
        raise ProgramFailed(f"there is no event {event}")
    return found


def _proof(stored: StoredLog, event: EventName) -> str:
    if isinstance(event, int):
        _must_be_there(event, stored.head())
        position: int | None = event
    else:
        position = stored.position_of(event.stream, event.version)
    if position is None:
        raise ProgramFailed(f"there is no event {event}")
    try:
        return prove_event(stored, position)
    except NotSigned as error:
        raise ProgramFailed(str(error)) from error
