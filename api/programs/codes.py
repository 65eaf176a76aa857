"""``owl codes``: an administrator's recharge codes."""

from __future__ import annotations

import click
from rich.console import Group
from rich.text import Text

from api.client.answers import Batch, Code, Page, read
from api.client.show import page_line
from api.client.wording import clean, clipped, listing, local, status, yuan
from api.programs.asking import Terminal, asks_the_api
from api.programs.ids import CODE_ID


@click.group()
def command() -> None:
    """Recharge codes, for administrators."""


@command.command()
@click.argument("amount")
@click.option("--count", type=click.IntRange(1, 1000), default=1, show_default=True)
@click.option(
    "--max-uses",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    help="How many users may redeem each code.",
)
@click.option("--expires-at", metavar="TIME", help="Such as 2027-12-31T23:59:59Z.")
@click.option("--description", default="", help="A note for lists and records.")
@asks_the_api
async def create(
    terminal: Terminal,
    amount: str,
    count: int,
    max_uses: int,
    expires_at: str | None,
    description: str,
) -> None:
    r"""Make codes worth AMOUNT yuan each. They are shown whole now, and masked ever after.

    \b
      owl codes create 88.80 --count 10 --expires-at 2027-12-31T23:59:59Z
    """
    order = {
        "amount": amount,
        "batch_size": count,
        "max_uses": max_uses,
        "description": description,
        "expires_at": expires_at,
    }
    async with terminal.client() as client:
        data = await client.post("/recharge/codes", order)
    batch = read(Batch, data)
    lines = [clean(code.code) for code in batch.codes]
    total = Text(
        f"codes: {batch.total_generated:,}, worth {yuan(batch.total_amount)}", style="dim"
    )
    terminal.answer(data, Group(*lines, total))


@command.command(name="list")
@click.option("--status", "wanted", type=click.Choice(["active", "used", "expired", "revoked"]))
@click.option("--page", type=click.IntRange(1, 10_000), default=1, show_default=True)
@click.option("--page-size", type=click.IntRange(1, 100), default=20, show_default=True)
@asks_the_api
async def list_codes(terminal: Terminal, wanted: str | None, page: int, page_size: int) -> None:
    """List codes, the newest first, masked."""
    async with terminal.client() as client:
        data = await client.get(
            "/recharge/codes", status=wanted, page=page, page_size=page_size
        )
    found = read(Page[Code], data)
    table = listing("id", "code", "status", "used", "amount", right=("used", "amount"))
    for code in found.items:
        table.add_row(
            clean(code.id),
            clean(code.code),
            status(code.status),
            f"{code.used_count}/{code.max_uses}",
            yuan(code.amount),
        )
        until = f"until {local(code.expires_at)}" if code.expires_at else ""
        if note := "  ".join(filter(None, (until, code.description))):
            table.add_row(clipped(f"  {note}", "dim"))
    terminal.answer(data, Group(table, page_line(found)))


@command.command()
@click.argument("code_id", metavar="ID", type=CODE_ID)
@asks_the_api
async def revoke(terminal: Terminal, code_id: object) -> None:
    """End a code by its id. Who redeemed it keeps the money."""
    async with terminal.client() as client:
        data = await client.post(f"/recharge/codes/{code_id}/revoke")
    terminal.answer(data, clean(f"code {code_id} is {data['status']}"))


@command.command()
@click.argument("code_id", metavar="ID", type=CODE_ID)
@asks_the_api
async def reveal(terminal: Terminal, code_id: object) -> None:
    """Show a code whole. That you looked is recorded."""
    async with terminal.client() as client:
        data = await client.post(f"/recharge/codes/{code_id}/reveal")
    terminal.answer(data, clean(str(data["code"])))
