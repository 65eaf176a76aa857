"""``owl audit export | verify-bundle | import``: the log, handed over and taken in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import click

from api.programs.audit_asking import no_type_is
from api.programs.audit_log import (
    force,
    given_key,
    held_checkpoint,
    log_keys,
    may_write,
    opened_log,
    signing_key,
)
from api.programs.audit_verify import progress_bar
from api.programs.failing import CalledWrongly, ProgramFailed, in_words
from api.programs.json_answers import as_json, print_json
from api.programs.options import database_of, settings_from, with_database
from commands.event_log.migrate import migrate
from commands.log_import import LogNotEmpty, import_log
from domain.audit.bundle import BundleInvalid, Manifest
from domain.audit.checkpoint import NoteInvalid
from projections.audit.bundle import Bundle
from projections.audit.export import HistoryDiffers, Stretch
from projections.audit.export import export as write_bundle
from projections.audit.proving import NotSigned

BUNDLE = click.Path(path_type=Path, dir_okay=False, exists=True)
KEY_HELP = "A verifier key of the log, new or old, as text or a file: of `owl audit key`."


@click.command()
@click.option("--from", "first", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--to", "last", type=click.IntRange(min=1), help="By default the last signed.")
@click.option("--withhold", multiple=True, metavar="TAG", help="Digests only, as accounts.*")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "parquet"]),
    default="jsonl",
    show_default=True,
    help="jsonl is what the one-file verifier checks too; parquet only verify-bundle.",
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False))
@force
@as_json
@with_database
def export(
    first: int,
    last: int | None,
    withhold: tuple[str, ...],
    form: Literal["jsonl", "parquet"],
    output: Path,
    force: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Write events as a bundle that proves itself with the log's public key alone.

    The same stretch gives the same bytes, whenever it is exported.
    """
    if last is not None and last < first:
        raise click.UsageError(f"--to {last} is before --from {first}")
    for told in filter(None, map(no_type_is, withhold)):
        # whoever gives the bundle away believes that it is left out
        raise click.BadParameter(told, param_hint="--withhold")
    may_write(output, force=force)
    unfinished = output.with_name(output.name + ".part")
    with opened_log(options) as (settings, log), in_bundle_words():
        keys = log_keys(settings, log)
        signer = signing_key(settings, keys.newest)
        if max(first, last or 0) > (head := log.head()):
            upto = f": --to may be {head} at most, and may be left out" if first <= head else ""
            raise CalledWrongly(f"the log ends at event {head}{upto}")
        stretch = Stretch(
            first=first,
            last=log.signed_size() if last is None else last,
            withhold=withhold,
            form=form,
        )
        try:
            with unfinished.open("wb") as file, progress_bar("exporting") as progress:
                manifest = write_bundle(
                    log, file, stretch, keys=keys, sign=signer.sign, progress=progress
                )
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(output)
        finally:
            unfinished.unlink(missing_ok=True)
    _print(manifest, as_json=as_json)


@click.command(name="verify-bundle")
@click.argument("bundle", type=BUNDLE)
@click.option("--pub", required=True, metavar="KEY", help=KEY_HELP)
@click.option(
    "--prev",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="An older checkpoint that you kept: the bundle must go on from it.",
)
@as_json
def verify_bundle(
    bundle: Path,
    pub: str,
    prev: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Check a bundle far from any database; the first changed event is named."""
    with in_words(), in_bundle_words():
        key = given_key(pub)
        with Bundle(bundle, key) as opened, progress_bar("verifying") as progress:
            held = None if prev is None else held_checkpoint(prev, opened.keys)
            opened.verify(held=held, progress=progress)
    _print(opened.manifest, as_json=as_json)
    if not as_json:
        click.echo("nothing is missing, nothing was altered")


@click.command(name="import")
@click.argument("bundle", type=BUNDLE)
@click.option("--pub", required=True, metavar="KEY", help=KEY_HELP)
@as_json
@with_database
def import_bundle(
    bundle: Path,
    pub: str,
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Take a whole log into an empty database, after it was checked; all of it or nothing.

    Then `owl work` signs and projects it, and `owl audit verify --checkpoint` compares it with
    the checkpoint that came with the bundle.
    """
    with in_words(), in_bundle_words():
        conninfo = database_of(settings_from(**options))
        with Bundle(bundle, given_key(pub)) as opened:
            manifest = opened.manifest
            if manifest.first != 1 or manifest.withheld:
                raise ProgramFailed("only a bundle of all events, none withheld, makes a log")
            with progress_bar("verifying") as progress:
                opened.verify(progress=progress)
            migrate(conninfo)
            with progress_bar("importing") as progress:
                events = opened.proven(progress=progress)
                import_log(conninfo, manifest.origin, (each.stored for each in events))
    _print(manifest, as_json=as_json)


@contextmanager
def in_bundle_words() -> Iterator[None]:
    """What is wrong with a bundle, in a sentence."""
    try:
        yield
    except (BundleInvalid, HistoryDiffers, LogNotEmpty, NotSigned, NoteInvalid) as error:
        raise ProgramFailed(str(error)) from error
    except OSError as error:
        where = (
            f"{error.filename}: " if error.filename else ""
        )  # a disk that is full names none
        raise ProgramFailed(f"{where}{error.strerror}") from error


def _print(manifest: Manifest, *, as_json: bool) -> None:
    if as_json:
        print_json(manifest)
        return
    click.echo(f"log         {manifest.origin}")
    click.echo(f"events      {manifest.first} to {manifest.last}")
    click.echo(f"checkpoint  over {manifest.size} events")
    if manifest.withheld:
        click.echo(f"withheld    the states of {manifest.withheld} events")
