"""``owl projections``: how far the read models are; build one anew beside the live one."""

from __future__ import annotations

import asyncio
import getpass
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from api.database import prepare_database
from api.keys import load_keys
from api.logging_setup import set_up_logging
from api.programs.failing import ProgramFailed, in_words
from api.programs.options import database_of, settings_from, with_database
from api.refreshing import build_beside, note
from api.settings import Settings
from api.wiring import new_id, now
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from commands.writer import Writer
from domain.envelope import Actor
from projections.catalogue import READ_MODELS
from projections.read_model import ReadModel, Source
from projections.rebuild import Progress as Rebuilding
from projections.rebuild import RebuildFailed, Rebuilt
from projections.status import ReadModelStatus, read_statuses

_NAMES = [model.name for model in READ_MODELS]


@click.group()
def command() -> None:
    """How far the read models are; rebuild them."""


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@with_database
def status(*, as_json: bool, **options: Any) -> None:
    """Show each generation: where it stands, how far behind, how large.

    Exit code 1 when one has stopped, or was built by other folds than this version's.
    """
    with in_words():
        settings = settings_from(**options)
        set_up_logging(settings, program="projections")
        with _log(settings) as log:
            heads: dict[Source, int] = {
                "business": log.feed().head(),
                "telemetry": log.telemetry.feed().head(),
            }
        statuses = read_statuses(database_of(settings), heads)
    if as_json:
        click.echo(msgspec.json.encode(statuses).decode())
    else:
        Console().print(_table(statuses))
    live = [each for each in statuses if each.state == "live"]
    unfit = [each.read_model for each in live if each.condition in {"stopped", "outdated"}]
    if unfit:
        raise ProgramFailed(f"not current; run: owl projections rebuild {' '.join(unfit)}")


@command.command(name="rebuild")
@click.argument("names", nargs=-1, type=click.Choice(_NAMES), metavar="NAME…")
@click.option("--all", "everything", is_flag=True, help="Every read model.")
@click.option(
    "--accept-difference",
    is_flag=True,
    help="Switch even if the new rows are not those of the live ones.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@with_database
def rebuild_command(
    names: tuple[str, ...],
    *,
    everything: bool,
    accept_difference: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Build NAMEs anew from the log, compare, and switch to the new rows.

    The live ones serve meanwhile; the old rows are kept. Nothing is switched when the same
    folds gave other rows: that is a finding, and the exit code is 1.
    """
    wanted = [model for model in READ_MODELS if everything or model.name in names]
    if not wanted:
        raise click.UsageError(f"name a read model, or --all; there are {', '.join(_NAMES)}")
    with in_words():
        settings = settings_from(**options)
        set_up_logging(settings, program="projections")
        done = asyncio.run(
            _rebuild_all(settings, wanted, accept_difference=accept_difference, quiet=as_json)
        )
    if as_json:
        click.echo(msgspec.json.encode(done).decode())


async def _rebuild_all(
    settings: Settings, wanted: list[ReadModel], *, accept_difference: bool, quiet: bool
) -> list[Rebuilt]:
    database_url = database_of(settings)
    await prepare_database(database_url)
    done = []
    with _log(settings) as log:
        async with Writer(log, now) as writer:
            for model in wanted:
                rebuilt = await asyncio.to_thread(
                    _rebuild_one,
                    log,
                    model,
                    accept_difference=accept_difference,
                    quiet=quiet,
                )
                await note(writer, new_id(), rebuilt, _operator())
                done.append(rebuilt)
    return done


def _rebuild_one(
    log: EventLog, model: ReadModel, *, accept_difference: bool, quiet: bool
) -> Rebuilt:
    console = Console(stderr=True, quiet=quiet)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TextColumn("{task.fields[pace]}"), console=console) as display:
        bar = display.add_task(model.name, total=100.0, pace="")

        def show(at: Rebuilding) -> None:
            eta = "" if at.eta_s is None else f", {at.eta_s:.0f} s to go"
            pace = f"{at.step}, {at.events_per_s:,.0f} events/s{eta}"
            display.update(bar, completed=at.percent, pace=pace)

        try:
            rebuilt = build_beside(
                log, model, progress=show, accept_difference=accept_difference
            )
        except RebuildFailed as failure:
            raise ProgramFailed(f"{model.name}: {failure}") from failure
    compared = "the same rows" if rebuilt.compared and not rebuilt.differing else "switched"
    console.print(
        f"{model.name}: generation {rebuilt.before_generation} →"
        f" {rebuilt.after_generation}, to position {rebuilt.at_position:,}"
        f" in {rebuilt.seconds:.1f} s, {compared}"
    )
    return rebuilt


def _log(settings: Settings) -> EventLog:
    keys = load_keys(settings.secrets_path, make=False)
    secrets = Secrets(pepper=keys.pepper, sealing_key=keys.sealing)
    return EventLog.open(
        database_of(settings), secrets=secrets, require_durable=settings.requires_durability
    )


def _operator() -> Actor:
    return Actor("system", f"owl-projections/{getpass.getuser()}")


def _table(statuses: tuple[ReadModelStatus, ...]) -> Table:
    table = Table("read model", "generation", "state", "position", "behind", "rows", "MiB")
    for each in statuses:
        state = each.condition if each.state == "live" else each.state
        table.add_row(
            each.read_model,
            str(each.generation),
            state if each.error is None else f"{state} at {each.stopped_at}: {each.error}",
            f"{each.position:,}",
            f"{each.lag_events:,}",
            f"{each.rows:,}",
            f"{each.size_bytes / 2**20:,.1f}",
        )
    return table
