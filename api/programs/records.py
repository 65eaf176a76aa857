"""``owl records``: what was redeemed."""

from __future__ import annotations

import click
from rich.console import Group

from api.client.answers import Page, Record, read
from api.client.show import page_line
from api.client.wording import clean, clipped, listing, local, yuan
from api.programs.asking import Terminal, asks_the_api


@click.command()
@click.option("--page", type=click.IntRange(1, 10_000), default=1, show_default=True)
@click.option("--page-size", type=click.IntRange(1, 100), default=20, show_default=True)
@asks_the_api
async def command(terminal: Terminal, page: int, page_size: int) -> None:
    """List what you redeemed, the newest first."""
    async with terminal.client() as client:
        data = await client.get("/recharge/records", page=page, page_size=page_size)
    found = read(Page[Record], data)
    table = listing(
        "redeemed", "amount", "code", "description", right=("amount",), narrow=("description",)
    )
    for record in found.items:
        table.add_row(
            local(record.created_at),
            yuan(record.amount),
            clean(record.code),
            clipped(record.description),
        )
    terminal.answer(data, Group(table, page_line(found)))
