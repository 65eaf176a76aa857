"""``--json`` of the programs that read the log and the read models: one answer, on one line."""

from __future__ import annotations

import click
import msgspec

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one answer.")


def print_json(answer: object) -> None:
    """One answer as JSON."""
    click.echo(msgspec.json.encode(answer).decode())
