"""``owl audit verify``: is the log whole, unaltered and sensible?"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import click
from msgspec.structs import asdict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from api.programs.audit_log import (
    chain_of,
    given_key,
    held_checkpoint,
    opened_log,
    pub,
    trusted_key,
)
from api.programs.failing import CalledWrongly, Unreachable
from api.programs.json_answers import as_json, print_json
from api.programs.options import database_of, with_database
from domain.audit.checkpoint import Checkpoint, VerifierKey
from domain.audit.refold import Refold
from domain.audit.rotation import KeyChain
from projections.audit.hashed import ReadingEnded
from projections.audit.verify import Verification, Verified

_HINT = "; kept of the log that this one was imported from? its key is --checkpoint-pub KEY"


@click.command()
@click.option(
    "--since",
    metavar="N|CHECKPOINT",
    help="Only what came after the first N events, for which the stored tree stands, or after a"
    " checkpoint that you kept, whose root that tree must have.",
)
@click.option(
    "--checkpoint",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A checkpoint that you kept: the log must have grown out of it.",
)
@click.option(
    "--checkpoint-pub",
    metavar="KEY",
    help="The key that what you kept is signed by, as text or a file, where it is another than"
    " the log's: that of the log which this one was imported from.",
)
@pub
@as_json
@with_database
def verify(
    since: str | None,
    checkpoint: Path | None,
    checkpoint_pub: str | None,
    pub: str | None,
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Hash every stored event again, grow the tree again, fold the log again.

    Compares with every checkpoint that is stored, and with the one that you hold. The first
    difference is named by its position, and the exit code is 1.
    """
    with opened_log(options) as (settings, log):
        key = trusted_key(pub, log, settings)
        keys = chain_of(_key_of_held(checkpoint_pub, key), log)
        held = [
            held_checkpoint(path, keys, hint=_HINT)
            for path in (checkpoint,)
            if path is not None
        ]
        size = _beginning(since, keys, held)
        if any(each.size < size for each in held):
            raise click.UsageError(f"the checkpoint covers less than --since, {size} events")
        run = Verification(
            log,
            key=key,
            held=held,
            since=size,
            refold=Refold() if since is None else None,
            beside=database_of(settings),
        )
        # states by the million and not one cycle: to walk them again and again finds nothing
        gc.disable()
        began_at = perf_counter()
        with progress_bar("verifying") as progress:
            try:
                found = run.run(progress)
            except ReadingEnded as error:
                raise Unreachable(str(error)) from error
    _print(found, perf_counter() - began_at, as_json=as_json)
    if not found.is_right:
        sys.exit(1)


def _key_of_held(given: str | None, key: VerifierKey) -> VerifierKey:
    """What checkpoints held outside are signed by: a copy of a log signs by another key."""
    held = key if given is None else given_key(given)
    if held.name != key.name:
        raise CalledWrongly(f"--checkpoint-pub is of {held.name}, the log is {key.name}")
    return held


def _beginning(since: str | None, keys: KeyChain, held: list[Checkpoint]) -> int:
    """After how many events to begin; a checkpoint given as a file is held as well."""
    if since is None:
        return 0
    if since.isascii() and since.isdigit():
        return int(since)
    if not Path(since).is_file():
        raise click.UsageError(f"--since: {since} is neither a number nor a checkpoint's file")
    held.append(held_checkpoint(Path(since), keys, hint=_HINT))
    return held[-1].size


def _print(found: Verified, took_s: float, *, as_json: bool) -> None:
    events_per_s = round((found.head - found.since) / took_s)
    if as_json:
        print_json(
            asdict(found)
            | {"is_right": found.is_right, "took_s": took_s, "events_per_s": events_per_s}
        )
        return
    click.echo(f"log         {found.origin}")
    click.echo(f"events      {found.since + 1} to {found.head}, {events_per_s} a second")
    click.echo("covers      the business log; not the telemetry: heartbeats, output of tasks")
    click.echo(f"root        {found.root}")
    unsigned = found.head - found.signed
    click.echo(f"signed      up to {found.signed}" + (f", {unsigned} to come" * (unsigned > 0)))
    if found.is_right:
        upto = f" up to event {found.covered}" if found.covered < found.head else ""
        click.echo(f"nothing is missing, nothing was altered{upto}, every rule holds")
        if upto:
            click.echo("no checkpoint covers what came after: there only rules were checked")
        return
    first = found.findings[0]
    click.echo(f"\nfirst difference: position {first.position}", err=True)
    for finding in found.findings:
        click.echo(
            f"  {finding.position:>12}  {finding.check:<10}  {finding.message}", err=True
        )


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, where somebody looks."""
    bar = Progress(
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda reached, last: bar.update(task, completed=reached, total=last)
