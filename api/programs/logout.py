"""``owl logout``: forget the token."""

from __future__ import annotations

import click

from api.client.wording import line
from api.programs.asking import Terminal, asks_the_api


@click.command()
@asks_the_api
async def command(terminal: Terminal) -> None:
    """Forget the token of this API. It is not revoked: change the password for that."""
    kept = terminal.sessions.load()
    told = f"no token for {terminal.api_url} was kept"
    if terminal.api_url in kept.by_url:
        terminal.sessions.save(kept.closed(terminal.api_url))
        told = f"the token for {terminal.api_url} is forgotten"
    terminal.answer({"api": terminal.api_url}, line(told))
