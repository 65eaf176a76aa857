"""``owl profiles``: which logins are kept on this machine, and as whom."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from api.client.screen import console
from api.client.session import SessionFile, profiles_in
from api.client.wording import clean, listing, local
from api.programs.asking import APPLICATION


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def command(*, as_json: bool) -> None:
    """List the logins kept here; `owl login --profile NAME` makes another beside them."""
    directory = Path(click.get_app_dir(APPLICATION))
    now = datetime.now(UTC)
    found = [
        {
            "profile": name,
            "api": url,
            "email": session.email,
            "role": session.role,
            "signed_in": session.expires_at > now,
            "expires_at": session.expires_at.isoformat(timespec="seconds"),
        }
        for name in profiles_in(directory)
        for url, session in SessionFile(directory, name).load().by_url.items()
    ]
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    if not found:
        click.echo("nobody is signed in here: `owl login`")
        return
    table = listing("profile", "user", "role", "until", "api", narrow=("user", "api"))
    for each in found:
        until = local(datetime.fromisoformat(str(each["expires_at"])))
        who = (each["profile"] or "(none)", each["email"], each["role"])
        when = until if each["signed_in"] else "ended"
        table.add_row(*(clean(str(part)) for part in (*who, when, each["api"])))
    console().print(table)
