"""``owl me``: who is signed in, and what they have."""

from __future__ import annotations

import click
from rich.table import Table

from api.client.answers import Me, read
from api.client.wording import clean, local, yuan
from api.programs.asking import Terminal, asks_the_api


@click.command()
@asks_the_api
async def command(terminal: Terminal) -> None:
    """Show your account and balance."""
    async with terminal.client() as client:
        data = await client.get("/users/me")
    me = read(Me, data)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_row("User", clean(f"{me.username}  {me.full_name}"))
    table.add_row("E-mail", clean(me.email))
    table.add_row("Role", clean(me.role))
    table.add_row("Balance", yuan(me.balance))
    if me.held_balance:
        table.add_row("  held", yuan(me.held_balance))
        table.add_row("  available", yuan(me.available_balance))
    table.add_row("Tasks", f"{me.total_tasks:,}")
    table.add_row("Since", local(me.created_at))
    table.add_row("API", clean(terminal.api_url))
    terminal.answer(data, table)
