"""``owl audit``: the auditor's tools over the event log; none of them changes it."""

from __future__ import annotations

from typing import Any

import click

from api.programs.audit_bundle import export, import_bundle, verify_bundle
from api.programs.audit_checkpoints import checkpoint, checkpoints
from api.programs.audit_entity import diff, history, state
from api.programs.audit_keys import keys
from api.programs.audit_log import log_keys, opened_log
from api.programs.audit_reconcile import reconcile
from api.programs.audit_replay import replay
from api.programs.audit_story import log, receipt, show, trace
from api.programs.audit_verify import verify
from api.programs.json_answers import as_json, print_json
from api.programs.options import with_database


@click.group()
def command() -> None:
    """Prove the log: verify it, keep checkpoints of it, ask what happened and why.

    Exit codes: 0 all is right, 1 something was found, 2 wrong usage, 3 out of reach.
    """


@command.command()
@as_json
@with_database
def key(as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Print the log's verifier key: keep it where the log's administrators do not reach."""
    with opened_log(options) as (settings, log):
        found = str(log_keys(settings, log).newest)
    if as_json:
        print_json({"key": found})
    else:
        click.echo(found)


for each in (
    *(verify, reconcile),
    *(log, show, receipt, history, state, diff, trace, replay),
    *(export, verify_bundle, import_bundle),
    *(keys, checkpoint, checkpoints),
):
    command.add_command(each)
