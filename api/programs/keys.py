"""``owl keys``: make the platform's keys in a directory, once."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from api.keys import make_keys
from api.programs.failing import in_words
from api.settings import load


@click.group()
def command() -> None:
    """Make the platform's keys: token signing, digests, sealing, the broker's."""


@command.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the names of the files as JSON.")
def make(directory: Path | None, *, as_json: bool) -> None:
    """Make the keys that are missing in DIRECTORY (default: OWL_SECRETS_DIR).

    What is there is never touched: losing the pepper or the sealing key makes recharge codes
    unreadable and claims on names void.
    """
    with in_words():
        target = directory or load().secrets_path
    made = make_keys(target)
    if as_json:
        answer = {"directory": str(target), "made": made}
        click.echo(msgspec.json.encode(answer).decode())
    elif made:
        click.echo(f"made in {target}: {', '.join(made)}")
        click.echo("keep a copy outside this machine: without them no code can be read again")
    else:
        click.echo(f"{target} has all keys already; nothing was changed")
