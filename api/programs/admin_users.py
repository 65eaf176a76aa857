"""``owl admin users``: who has an account, what they may do, what they have."""

from __future__ import annotations

from typing import Any, Final

import click
from rich.console import Group
from rich.text import Text

from api.client.account import account_view
from api.client.answers import Me, Page, read
from api.client.show import page_line
from api.client.wording import clean, clipped, listing, yuan
from api.programs.asking import Terminal, asks_the_api
from api.programs.people import user_id_of, user_named

ROLES: Final = ("user", "admin", "super_admin", "auditor")
_USER = click.argument("user", metavar="USER")
_ACTIVITY = click.option(
    "--active/--inactive", "is_active", default=None, help="Whether they may log in."
)


@click.group()
def users() -> None:
    """Accounts. A USER is an id, an e-mail address or a username."""


@users.command(name="list")
@click.option("--role", type=click.Choice(ROLES))
@_ACTIVITY
@click.option("--page", type=click.IntRange(1, 10_000), default=1, show_default=True)
@click.option("--page-size", type=click.IntRange(1, 100), default=20, show_default=True)
@asks_the_api
async def list_users(
    terminal: Terminal, role: str | None, page: int, page_size: int, *, is_active: bool | None
) -> None:
    """List users, the newest first."""
    async with terminal.client() as client:
        data = await client.get(
            "/admin/users",
            role=role,
            is_active=is_active if is_active is None else str(is_active).lower(),
            page=page,
            page_size=page_size,
        )
    found = read(Page[Me], data)
    table = listing("id", "username", "role", "active", "balance", right=("balance",))
    for user in found.items:
        table.add_row(
            clean(user.id),
            clipped(user.username),
            clean(user.role),
            Text("yes", "green") if user.is_active else Text("no", "red"),
            yuan(user.balance),
        )
        table.add_row(clipped(f"  {user.email}", "dim"))
    terminal.answer(data, Group(table, page_line(found)))


@users.command()
@_USER
@asks_the_api
async def show(terminal: Terminal, user: str) -> None:
    """Show a user: role, activity, balance, and what is held of it."""
    async with terminal.client() as client:
        data = await user_named(client, user)
    terminal.answer(data, account_view(read(Me, data)))


@users.command()
@_USER
@click.option("--role", type=click.Choice(ROLES), help="What they may do.")
@_ACTIVITY
@click.option("--balance", metavar="YUAN", help="What they shall have, holds included.")
@click.option("--reason", default="", help="Why, for the record.")
@asks_the_api
async def update(
    terminal: Terminal,
    user: str,
    role: str | None,
    balance: str | None,
    reason: str,
    *,
    is_active: bool | None,
) -> None:
    r"""Change a user's role, activity or balance: all that is given, or nothing.

    \b
      owl admin users update ada@example.com --balance 50 --reason "a gift"
      owl admin users update ada@example.com --inactive
    """
    wanted = {"role": role, "is_active": is_active, "balance": balance}
    body: dict[str, Any] = {name: to for name, to in wanted.items() if to is not None}
    if not body:
        raise click.UsageError("say what changes: --role, --active, --inactive or --balance")
    if reason:
        body["reason"] = reason
    async with terminal.client() as client:
        user_id = await user_id_of(client, user)
        data = await client.call("PUT", f"/admin/users/{user_id}", json=body)
    terminal.answer(data, account_view(read(Me, data)))
