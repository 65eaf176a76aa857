"""``owl projections verify``, ``diff``, ``switch``, ``rollback`` and ``drop-old``."""

from __future__ import annotations

from typing import Any

import click
import msgspec
from rich.table import Table

from api.programs.failing import NotCompared, ProgramFailed
from api.programs.json_answers import as_json, print_json
from api.programs.options import with_database
from api.programs.projections_open import (
    model_named,
    name_argument,
    opened,
    print_table,
    unfed_option,
)
from api.read_model_texts import why_not
from api.rebuilding import Operating
from api.verified_words import sentence
from domain.system.events import ReadModelSwitched
from projections.comparing import Difference
from projections.not_possible import NotPossible
from projections.switching import Shown
from projections.verified import Verified

SHOWN = 20


def _verified(options: dict[str, Any], name: str, limit: int) -> Verified:
    async def compare(operating: Operating) -> Verified:
        try:
            return await operating.verify(model_named(name), limit)
        except NotPossible as error:
            raise NotCompared(why_not(error).en) from error

    with opened(options) as opening:
        return opening.operated(compare)


@click.command()
@name_argument
@as_json
@with_database
def verify(name: str, *, as_json: bool, **options: Any) -> None:
    """Compare NAME's other generation with the live one, as of one position.

    The other one is what was built and waits, or what is kept for the way back. By the same
    folds 256 checksums a table must be equal; where other folds made one side it is told how
    many rows differ, and in which columns. Exit codes: 0 nothing differs, 1 rows, columns or
    tables do, 2 wrong usage or nothing to compare with.
    """
    found = _verified(options, name, 0)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        click.echo(sentence(found))
    if found.differing:
        if found.contrast is not None:
            click.echo(_ways_on(found), err=as_json)
            raise SystemExit(ProgramFailed.exit_code)  # that is what other folds are for
        raise ProgramFailed(f"rows differ: owl projections diff {name} names them")


@click.command()
@name_argument
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=SHOWN, help="How many rows, at most."
)
@as_json
@with_database
def diff(name: str, *, limit: int, as_json: bool, **options: Any) -> None:
    """Name the rows of NAME that differ, and in which columns; of other folds' rows some.

    Exit codes: 0 nothing differs, 1 rows, columns or tables do, 2 wrong usage or nothing to
    compare with.
    """
    found = _verified(options, name, limit)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    elif not found.differing and found.contrast is None:
        click.echo(sentence(found))
    elif found.differences:
        print_table(_table(found.differences))
    if found.contrast is not None:
        click.echo(sentence(found), err=as_json)
        raise SystemExit(ProgramFailed.exit_code if found.differing else 0)
    if found.differing:
        raise ProgramFailed(sentence(found))


@click.command()
@name_argument
@unfed_option
@as_json
@with_database
def switch(name: str, *, unfed: bool, as_json: bool, **options: Any) -> None:
    """Let queries see what was built of NAME and waits; in one commit, when it is current.

    Rows by other folds than the live ones need a worker of this version to feed them.
    """
    with opened(options) as opening:
        done = opening.acted(
            name, "switch", lambda operating, model: operating.switch(model, unfed=unfed)
        )
    _tell_shown(done, f"owl projections rollback {name} is the way back", as_json=as_json)


@click.command()
@name_argument
@unfed_option
@as_json
@with_database
def rollback(name: str, *, unfed: bool, as_json: bool, **options: Any) -> None:
    """Let queries see the generation of NAME again that was kept; at once.

    The one that they saw is kept in its place: a second rollback goes forward again.
    Rows by other folds than the live ones need a worker that feeds them.
    """
    with opened(options) as opening:
        done = opening.acted(
            name, "rollback", lambda operating, model: operating.roll_back(model, unfed=unfed)
        )
    kept = f"{done.before_generation} is kept, and another rollback shows it again"
    _tell_shown(done, kept, as_json=as_json)


def _tell_shown(done: Shown | ReadModelSwitched, then: str, *, as_json: bool) -> None:
    if as_json:
        about = ("read_model", "before_generation", "after_generation", "at_position")
        print_json({key: getattr(done, key) for key in about})
        return
    shown = f"{done.before_generation} → {done.after_generation}"
    click.echo(f"{done.read_model}: generation {shown}; {then}")


@click.command(name="drop-old")
@name_argument
@as_json
@with_database
def drop_old(name: str, *, as_json: bool, **options: Any) -> None:
    """Drop what is kept of NAME for the way back, to save disk and work."""
    with opened(options) as opening:
        dropped = opening.acted(
            name, "drop-old", lambda operating, model: operating.drop_kept(model)
        )
    if as_json:
        print_json({"read_model": name, "dropped_generations": dropped})
    else:
        click.echo(f"{name}: dropped generation {', '.join(map(str, dropped))}")


def _ways_on(found: Verified) -> str:
    name = found.read_model
    ways = f"owl projections diff {name} shows some"
    if found.other_state == "building":
        return (
            f"{ways}; a worker of this version switches to them when it leads, or"
            f" owl projections switch {name} at once, while such a worker runs to feed them"
        )
    return (
        f"{ways}, rollback {name} goes back to them; owl projections rebuild {name} --switch"
        " manual, and verify again, compares with what the same folds make of the log"
    )


def _table(differences: tuple[Difference, ...]) -> Table:
    table = Table("table", "key", "column", "live", "other")
    for each in differences:
        key = ", ".join(f"{name}={value}" for name, value in each.key.items())
        if each.live is None or each.other is None:
            where = ("missing", "there") if each.live is None else ("there", "missing")
            table.add_row(each.table, key, "", *where)
            continue
        for column in each.columns:
            live, other = str(each.live.get(column)), str(each.other.get(column))
            table.add_row(each.table, key, column, live, other)
    return table
