"""``owl projections rebuild``, ``pause``, ``resume`` and ``cancel``."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import click
import msgspec
import psycopg
from msgspec.structs import replace
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from api.parallel_filling import fill_by
from api.programs.failing import ProgramFailed
from api.programs.json_answers import as_json, print_json
from api.programs.options import with_database
from api.programs.projections_open import (
    NAMES,
    Opening,
    model_named,
    name_argument,
    opened,
    unfed_option,
)
from api.rebuild_orders import Orders
from api.rebuilding import Operating
from api.verified_words import sentence
from projections.catalogue import READ_MODELS
from projections.jobs import Job, Switching, read_jobs
from projections.not_possible import NotPossible
from projections.progress import Progress as Rebuilding
from projections.read_model import ReadModel
from projections.rebuild import NotRebuilt
from projections.rebuilt import Rebuilt
from projections.wishes import Stopped


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES), metavar="NAME…")
@click.option("--all", "everything", is_flag=True, help="Every read model.")
@click.option(
    "--workers",
    type=click.IntRange(1, 16),
    default=1,
    show_default=True,
    help="Processes that fold; the read models are shared out among them.",
)
@click.option(
    "--max-load",
    type=click.FloatRange(0.01, 1.0),
    default=1.0,
    show_default=True,
    help="The share of the time in which each works. 1: all of it while nobody writes, little"
    " beside writers, so that they hardly wait longer. Less: that share, whoever writes.",
)
@click.option(
    "--switch",
    "switching",
    type=click.Choice(["auto", "manual"]),
    default="auto",
    show_default=True,
    help="manual: build and compare; queries move with `owl projections switch NAME`.",
)
@click.option(
    "--accept-difference",
    is_flag=True,
    help="Switch even if the new rows are not those of the live ones.",
)
@unfed_option
@as_json
@with_database
def rebuild(
    names: tuple[str, ...],
    *,
    everything: bool,
    workers: int,
    max_load: float,
    switching: Switching,
    accept_difference: bool,
    unfed: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Build NAMEs anew from the log, in one pass; compare, and switch to the new rows.

    The live ones serve meanwhile; the old rows are kept and fed for the way back. Interrupted
    in any way, the same command goes on where it was. Nothing is switched when the same folds
    gave other rows: that is a finding, and the exit code is 1.
    """
    wanted = [model for model in READ_MODELS if everything or model.name in names]
    if not wanted:
        raise click.UsageError(f"name a read model, or --all; there are {', '.join(NAMES)}")
    with opened(options) as opening:
        orders = _orders(opening, switching, max_load, workers)
        orders = replace(orders, accept_difference=accept_difference, unfed=unfed)
        _run(opening, wanted, orders, as_json=as_json)


@click.command()
@name_argument
@as_json
@with_database
def pause(name: str, *, as_json: bool, **options: Any) -> None:
    """Let the rebuild of NAME end its chunk and wait; what it has done stays."""
    with opened(options) as opening:
        opening.acted(name, "pause", lambda operating, model: operating.pause(model))
    if as_json:
        print_json({"read_model": name, "wish": "pause"})
    else:
        click.echo(f"{name} pauses within seconds: owl projections resume {name} goes on")


@click.command()
@name_argument
@as_json
@with_database
def resume(name: str, *, as_json: bool, **options: Any) -> None:
    """Go on with NAME: with its paused or interrupted rebuild, or past where it had stopped.

    One that had stopped at an event tries it again, with the folds of the version that runs.
    """
    with opened(options) as opening:

        async def resumed(
            operating: Operating, model: ReadModel
        ) -> tuple[int | None, Job | None]:
            stopped_at = await operating.resume(model)
            with psycopg.connect(opening.database_url) as connection:
                job = read_jobs(connection).get(name)
            left = job if job and (job.step == "paused" or job.interrupted) else None
            if stopped_at is None and left is None:
                raise NotPossible(name, "not_stopped")
            return stopped_at, left

        stopped_at, job = opening.acted(name, "resume", resumed)
        if stopped_at is not None:
            click.echo(f"{name} tries position {stopped_at} again", err=True)
        if job is not None:
            _run(
                opening,
                [model_named(name)],
                _orders(opening, job.switching, job.max_load, job.workers),
                as_json=as_json,
            )


@click.command()
@name_argument
@as_json
@with_database
def cancel(name: str, *, as_json: bool, **options: Any) -> None:
    """Throw away what is being built of NAME; the live rows are not touched."""
    with opened(options) as opening:
        opening.acted(name, "cancel", lambda operating, model: operating.cancel(model))
    if as_json:
        print_json({"read_model": name, "wish": "cancel"})
    else:
        click.echo(f"what was built of {name} is thrown away")


def _orders(opening: Opening, switching: Switching, max_load: float, workers: int) -> Orders:
    url, secrets_path = opening.database_url, opening.settings.secrets_path
    return Orders(
        switching=switching,
        max_load=max_load,
        workers=workers,
        unfed=False,
        filling=fill_by(url, secrets_path, workers),
    )


def _run(opening: Opening, wanted: list[ReadModel], orders: Orders, *, as_json: bool) -> None:
    console = Console(stderr=True, quiet=as_json)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    gc.freeze()
    gc.disable()  # rows make no cycles, and there are many
    with Progress(*columns, TextColumn("{task.fields[pace]}"), console=console) as display:
        title = wanted[0].name if len(wanted) == 1 else f"{len(wanted)} read models"
        bar = display.add_task(title, total=100.0, pace="")

        def show(at: Rebuilding) -> None:
            eta = "" if at.eta_s is None else f", {at.eta_s:,.0f} s to go"
            pace = f"{at.stage}, {at.events_per_s:,.0f} events/s{eta}"
            display.update(bar, completed=at.percent, pace=pace)

        try:
            done = opening.operated(lambda operating: operating.rebuild(wanted, orders, show))
        except NotRebuilt as failure:
            raise ProgramFailed(f"{failure}; the live rows are as they were") from failure
        except Stopped as stopped:
            _tell(stopped.done, console, as_json=as_json)
            raise ProgramFailed(_as_wished(stopped)) from stopped
        except KeyboardInterrupt:
            again = _again([model.name for model in wanted])
            click.echo(f"interrupted: `owl projections {again}` goes on with it", err=True)
            raise
        finally:
            gc.enable()
    _tell(done, console, as_json=as_json)


def _again(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"resume {names[0]}"
    return "rebuild --all" if len(names) == len(NAMES) else f"rebuild {' '.join(names)}"


def _as_wished(stopped: Stopped) -> str:
    said = {
        "pause": "{0} was paused, as an operator wished: `owl projections resume {0}` goes on",
        "cancel": "what was built of {0} is thrown away, as an operator wished",
    }
    return "; ".join(said[wish].format(name) for name, wish in stopped.wishes.items())


def _tell(done: Sequence[Rebuilt], console: Console, *, as_json: bool) -> None:
    for rebuilt in done:
        console.print(_line(rebuilt), soft_wrap=True)
        if rebuilt.found is not None:
            console.print(sentence(rebuilt.found), soft_wrap=True)
    if as_json:
        click.echo(msgspec.json.encode(done).decode())


def _line(rebuilt: Rebuilt) -> str:
    took = f"to position {rebuilt.at_position:,} in {rebuilt.seconds:.1f} s"
    if not rebuilt.compared:
        same = "by other folds than the rows before"
    elif rebuilt.differing:
        same = f"other rows than the live ones, checksum {rebuilt.checksum}"
    else:
        same = f"the same rows as the live ones, checksum {rebuilt.checksum}"
    if rebuilt.switched:
        then = f"{rebuilt.before_generation} → {rebuilt.after_generation}"
        return f"{rebuilt.read_model}: generation {then}, {took}, {same}"
    return (
        f"{rebuilt.read_model}: generation {rebuilt.after_generation} is built, {took}, {same};"
        f" owl projections switch {rebuilt.read_model} shows it"
    )
