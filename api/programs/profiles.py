"""``owl profiles``: which logins are kept on this machine, and as whom."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from api.client.screen import console
from api.client.session import SessionFile, profiles_in
from api.client.wording import clean, listing, local
from api.messages import Language, Text
from api.programs.asking import APPLICATION, language_option
from api.programs.refusal_words import login_command

NOBODY: Final = Text(
    "这里没有登录：请用 `owl login` 登录", "nobody is signed in here: `owl login`"
)
OVER: Final = Text("已失效：{login}", "over: {login}")


@click.command()
@language_option
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def command(*, language: Language, as_json: bool) -> None:
    """List the logins kept here; `owl login --profile NAME` makes another beside them.

    No API is asked: one that has ended a login before its time is heard of when it is used.
    """
    directory = Path(click.get_app_dir(APPLICATION))
    now = datetime.now(UTC)
    kept = [(name, SessionFile(directory, name).load()) for name in profiles_in(directory)]
    found: list[dict[str, Any]] = [
        {
            "profile": name,
            "api": url,
            "email": session.email,
            "role": session.role,
            "signed_in": session.is_good(now),
            "expires_at": session.expires_at.isoformat(timespec="seconds"),
        }
        for name, sessions in kept
        for url, session in sessions.by_url.items()
    ]
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    if not found:
        click.echo(NOBODY.in_language(language))
        return
    currents = {(name, sessions.current) for name, sessions in kept}
    table = listing("profile", "user", "role", "until", "api", narrow=("user", "api"))
    for each in found:
        until = local(datetime.fromisoformat(str(each["expires_at"])))
        who = (each["profile"] or "(none)", each["email"], each["role"])
        is_current = (each["profile"], each["api"]) in currents
        again = login_command(each["profile"], "" if is_current else each["api"])
        when = until if each["signed_in"] else OVER.in_language(language, login=again)
        table.add_row(*(clean(str(part)) for part in (*who, when, each["api"])))
    console().print(table)
