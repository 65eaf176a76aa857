"""``owl projections``: how far the read models are; build them anew beside the live ones."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table

from api.client.wording import clean
from api.programs.failing import ProgramFailed
from api.programs.json_answers import as_json
from api.programs.options import with_database
from api.programs.projections_act import diff, drop_old, rollback, switch, verify
from api.programs.projections_open import NAMES, Opening, opened, print_table
from api.programs.projections_rebuild import cancel, pause, rebuild, resume
from projections.jobs import Job
from projections.status import ReadModelStatus, estimate_s, read_statuses
from projections.verified import LastComparison

WATCH_EVERY_S = 1.0


@click.group()
def command() -> None:
    """How far the read models are; rebuild, compare, switch and roll back.

    Exit codes: 0 all is right, 1 something was found or failed, 2 wrong usage, 3 out of reach.
    """


@command.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES), metavar="NAME…")
@click.option(
    "--watch",
    is_flag=True,
    help="Show it again every second, until Ctrl-C; with --json or into a pipe a line whenever"
    " something changes.",
)
@as_json
@with_database
def status(*, names: tuple[str, ...], watch: bool, as_json: bool, **options: Any) -> None:
    """Show each generation: where it stands, how far behind, how large, what is being built.

    Rows are those of all its tables together, less what counts 0 of something; ≈ is the
    planner's estimate. MiB are with its indexes.

    Exit code 1 when one has stopped, was built by other folds than this version's, or lags
    while no worker runs that could feed it.
    """
    with opened(options) as opening:
        statuses = _statuses(opening, names)
        if watch and (as_json or not sys.stdout.isatty()):
            _watch_in_lines(opening, names, as_json=as_json)
            return
        if watch:
            with Live(_table(statuses), console=Console(), auto_refresh=False) as display:
                while True:
                    display.update(_table(_statuses(opening, names)), refresh=True)
                    time.sleep(WATCH_EVERY_S)
    if as_json:
        click.echo(msgspec.json.encode(statuses).decode())
    else:
        print_table(_table(statuses))
    live = [each for each in statuses if each.state == "live"]
    stopped = [each.read_model for each in live if each.condition == "stopped"]
    outdated = [each for each in live if each.condition == "outdated"]
    if stopped:
        again = " ".join(stopped)
        raise ProgramFailed(f"stopped; mended since? owl projections resume {again}")
    if outdated:
        raise ProgramFailed(f"not of this version; {_ways_on(outdated, statuses)}")
    unfed = [each.read_model for each in live if each.condition == "unfed"]
    if unfed:
        raise ProgramFailed(_nobody_feeds(unfed, statuses))


def _nobody_feeds(unfed: list[str], statuses: list[ReadModelStatus]) -> str:
    told = f"nobody feeds {', '.join(unfed)}: start owl work of this version"
    others = [
        each.read_model
        for each in statuses
        if each.read_model in unfed and each.state == "kept" and not each.is_current
    ]
    ways = "; ".join(f"owl projections rollback {name}" for name in others)
    return f"{told}, or go back to the rows of the version before: {ways}" if others else told


def _watch_in_lines(opening: Opening, names: tuple[str, ...], *, as_json: bool) -> None:
    """For programs and pipes: what is new, and nothing while nothing is."""
    told: list[str] = []
    while True:
        now = _statuses(opening, names)
        if as_json:
            lines = [msgspec.json.encode(now).decode()]
        else:
            lines = [_line(each) for each in now]
        for line in lines:
            if line not in told:
                click.echo(line)
        told = lines
        time.sleep(WATCH_EVERY_S)


def _line(status: ReadModelStatus) -> str:
    stands = status.condition if status.state == "live" else status.state
    place = f"position {status.position:,}, {status.lag_events:,} behind"
    line = f"{status.read_model}, generation {status.generation}: {stands}, {place}"
    if status.error is not None:
        line += f"; stopped at {status.stopped_at}: {status.error}"
    if status.job is not None and status.state in {"building", "live"}:
        line += f"; {_job_text(status.job)}"
    return clean(line).plain.replace("\n", " ")


def _ways_on(outdated: list[ReadModelStatus], statuses: list[ReadModelStatus]) -> str:
    """What brings each to rows of this version: what is there is shown before any is built."""
    kept = {each.read_model for each in statuses if each.state == "kept" and each.is_current}
    ways: dict[str, list[str]] = {}
    for each in outdated:
        built = each.job is not None and each.job.step == "ready"
        way = "switch" if built else "rollback" if each.read_model in kept else "rebuild"
        ways.setdefault(way, []).append(each.read_model)
    return "; ".join(
        f"owl projections {way} {name}"
        for way, names in ways.items()
        for name in ([" ".join(names)] if way == "rebuild" else names)
    )


@command.command(name="list")
@as_json
@with_database
def list_command(*, as_json: bool, **options: Any) -> None:
    """List the read models: version, position, condition; exit code 0 whatever they are."""
    with opened(options) as opening:
        live = [each for each in _statuses(opening, ()) if each.state == "live"]
    if as_json:
        click.echo(msgspec.json.encode(live).decode())
        return
    table = Table("read model", "log", "generation", "fingerprint", "position", "condition")
    for each in live:
        table.add_row(
            each.read_model,
            each.source,
            str(each.generation),
            each.fingerprint,
            f"{each.position:,}",
            each.condition,
        )
    print_table(table)


@command.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES), metavar="NAME…")
@as_json
@with_database
def plan(*, names: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Show what a rebuild would do: which folds have changed, how much is read and written."""
    with opened(options) as opening:
        statuses = [each for each in _statuses(opening, names) if each.state == "live"]
        plans = [
            {
                "read_model": each.read_model,
                "live_fingerprint": each.fingerprint,
                "this_fingerprint": opening.fingerprints[each.read_model],
                "changed": not each.is_current,
                "events": each.position + each.lag_events,
                "disk_bytes": each.size_bytes,
                "seconds": estimate_s(each.job, each.position + each.lag_events),
            }
            for each in statuses
        ]
    if as_json:
        click.echo(msgspec.json.encode(plans).decode())
        return
    table = Table("read model", "folds", "events to read", "disk MiB", "about")
    for row, each in zip(plans, statuses, strict=True):
        seconds: Any = row["seconds"]
        table.add_row(
            each.read_model,
            f"{each.fingerprint} → {row['this_fingerprint']}" if row["changed"] else "the same",
            f"{row['events']:,}",
            f"{each.size_bytes / 2**20:,.1f}",
            "not known yet" if seconds is None else f"{seconds:,.0f} s",
        )
    print_table(table)


def _statuses(opening: Opening, names: tuple[str, ...]) -> list[ReadModelStatus]:
    found = read_statuses(opening.database_url, opening.heads())
    return [each for each in found if not names or each.read_model in names]


def _table(statuses: list[ReadModelStatus]) -> Table:
    columns = ("read model", "log", "generation", "state", "position", "behind", "rows", "MiB")
    table = Table(*columns, "rebuild", "last compared")
    for each in statuses:
        state = each.condition if each.state == "live" else each.state
        behind = f"{each.lag_events:,}"
        if each.lag_events:
            behind += f" ({each.lag_s:,.1f} s)"
        table.add_row(
            each.read_model,
            each.source,
            str(each.generation),
            state if each.error is None else f"{state} at {each.stopped_at}: {each.error}",
            f"{each.position:,}",
            behind,
            f"{each.rows:,}" if each.rows_are_exact else f"≈ {each.rows:,}",
            f"{each.size_bytes / 2**20:,.1f}",
            _job_text(each.job) if each.job and each.state in {"building", "live"} else "",
            _compared_text(each.compared) if each.compared and each.state == "live" else "",
        )
    return table


def _job_text(job: Job) -> str:
    if job.interrupted:
        return f"interrupted at {job.percent:.0f} %: owl projections resume {job.read_model}"
    if job.step == "paused":
        return f"paused: owl projections resume {job.read_model}"
    if job.step != "folding":
        return job.step if job.error is None else f"{job.step}: {job.error}"
    eta = "" if job.eta_s is None else f", {job.eta_s:,.0f} s to go"
    return f"folding {job.percent:.1f} %, {job.events_per_s:,.0f} events/s{eta}"


def _compared_text(last: LastComparison) -> str:
    found = last.found
    sides = f"{found.live_generation} and {found.other_generation} at {found.at_position:,}"
    if not found.differing:
        return f"{sides}: equal"
    rows = found.rows_that_differ
    return f"{sides}: " + ("rows differ" if rows is None else f"{rows:,} rows differ")


for each in (rebuild, pause, resume, cancel, verify, diff, switch, rollback, drop_old):
    command.add_command(each)
