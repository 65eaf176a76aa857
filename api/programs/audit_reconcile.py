"""``owl audit reconcile``: prove every balance."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from msgspec.structs import asdict
from rich.box import SIMPLE_HEAD
from rich.table import Table

from api.client.screen import console
from api.client.wording import yuan
from api.programs.audit_asking import USER, USERS_LISTED
from api.programs.audit_log import log_keys, opened_log, signing_key
from api.programs.audit_verify import progress_bar
from api.programs.json_answers import as_json, print_json
from api.programs.options import with_database
from domain.money import to_yuan
from projections.audit.certificate import certificate as certified
from projections.audit.certificate import summary
from projections.audit.reconcile import CHECKS, Account, Reconciled
from projections.audit.reconcile import reconcile as reconciled_at

MEANINGS = {
    "R1": "each fact's postings sum to nothing",
    "R2": "accounts are the sums of their postings, as users are shown them",
    "R3": "no account was ever below nothing",
    "R4": "codes paid what they promised",
    "R5": "tasks were charged for what they ran, out of their holds",
    "R6": "what came in is what users have and the platform earned",
}


@click.command()
@click.option("--at", metavar="P", type=click.IntRange(min=0), help="As of this position.")
@click.option(
    "--account",
    metavar="USER",
    type=USER,
    help=f"Show the account of the user of this id; {USERS_LISTED}.",
)
@click.option(
    "--report",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write all accounts as CSV.",
)
@click.option(
    "--certificate",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the result as a note signed with the log's key.",
)
@as_json
@with_database
def reconcile(
    at: int | None,
    account: UUID | None,
    report: Path | None,
    certificate: Path | None,
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Add every posting up and compare: events, accounts, read models, codes, tasks, totals.

    Shown in yuan (¥); with --json, in --report and in --certificate in fen, in names that end
    in _fen.
    The exit code is 1 when something does not add up; the first position says where.
    """
    with opened_log(options) as (settings, log):
        with progress_bar("adding up") as progress:
            found = reconciled_at(log, at=at, progress=progress)
        if certificate is not None:
            signer = log_keys(settings, log).newest
            note = certified(found, signer, signing_key(settings, signer).sign)
            certificate.write_text(note, encoding="utf-8")
    if report is not None:
        _write_report(report, found.accounts)
    shown = [mine for mine in found.accounts if mine.user_id == account]
    if as_json:
        print_json(summary(found) | {"accounts": [asdict(mine) for mine in shown]})
    else:
        _print(found, shown)
    if not found.is_right:
        sys.exit(1)


def _print(found: Reconciled, shown: Sequence[Account]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("check", "what", "result"):
        table.add_column(name)
    for check in CHECKS:
        first = found.first(check)
        result = "right" if first is None else f"first at {first.position}: {first.message}"
        table.add_row(check, MEANINGS[check], result)
    page = console()
    page.print(table)
    page.print(
        f"as of position {found.position:,}: {len(found.accounts):,} accounts,"
        f" {found.codes:,} codes, {found.tasks:,} tasks"
    )
    for name, amount_fen in (
        ("came in by codes", found.recharged_fen),
        ("granted by operators", found.granted_fen),
        ("users have", found.wallets_fen),
        ("the platform earned", found.revenue_fen),
        ("codes still promise", found.outstanding_fen),
    ):
        page.print(f"  {name:<22}{yuan(to_yuan(amount_fen)):>18}")
    for mine in shown:
        page.print(
            f"{mine.user_id}: available {yuan(to_yuan(mine.available_fen))},"
            f" held {yuan(to_yuan(mine.held_fen))}, moved last at {mine.moved_at}"
        )


def _write_report(path: Path, accounts: Sequence[Account]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(Account.__struct_fields__)
        rows.writerows(
            [getattr(mine, name) for name in Account.__struct_fields__] for mine in accounts
        )
