"""``owl me``: who is signed in, and what they have."""

from __future__ import annotations

import click

from api.client.account import account_view
from api.client.answers import Me, read
from api.client.wording import clean
from api.programs.asking import Terminal, asks_the_api


@click.command()
@asks_the_api
async def command(terminal: Terminal) -> None:
    """Show your account and balance."""
    async with terminal.client() as client:
        data = await client.get("/users/me")
    table = account_view(read(Me, data))
    table.add_row("API", clean(terminal.api_url))
    terminal.answer(data, table)
