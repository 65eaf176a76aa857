"""``owl redeem``: turn a recharge code into balance."""

from __future__ import annotations

import click

from api.client.wording import line, yuan
from api.programs.asking import Terminal, asks_the_api


@click.command()
@click.argument("code")
@asks_the_api
async def command(terminal: Terminal, code: str) -> None:
    """Redeem CODE, such as OWL-ABCD-2345-EFGH; case and dashes do not matter."""
    async with terminal.client() as client:
        data = await client.post("/recharge/redeem", {"code": code})
    amount, balance = yuan(data["amount"]), yuan(data["new_balance"])
    terminal.answer(data, line(f"{amount} added: the balance is {balance} now"))
