"""``owl records``: what was redeemed."""

from __future__ import annotations

import click
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from api.client.answers import Page, Record, read
from api.client.show import page_line
from api.client.wording import clean, local, yuan
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
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("redeemed", no_wrap=True)
    table.add_column("amount", justify="right", no_wrap=True)
    table.add_column("code", no_wrap=True)
    table.add_column("description")
    for record in found.items:
        table.add_row(
            local(record.created_at),
            yuan(record.amount),
            clean(record.code),
            clean(record.description),
        )
    terminal.answer(data, Group(table, page_line(found)))
