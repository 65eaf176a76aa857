"""``owl admin users``: who has an account, what they may do, what they have."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import click
from rich.console import Group
from rich.text import Text

from api.client.account import account_view
from api.client.answers import Me, Page, read
from api.client.http import ApiClient
from api.client.show import page_line
from api.client.wording import clean, clipped, listing, yuan
from api.programs.asking import Terminal, asks_the_api

ROLES: Final = ("user", "admin", "super_admin", "auditor")
_LOOKED_THROUGH: Final = 100
"""Pages of a hundred: the API finds users by their id alone."""
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
        data = await _found(client, user)
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
        user_id = (await _found(client, user))["id"] if _id_of(user) is None else user
        data = await client.call("PUT", f"/admin/users/{user_id}", json=body)
    terminal.answer(data, account_view(read(Me, data)))


async def _found(client: ApiClient, named: str) -> dict[str, Any]:
    """The user with this id, e-mail address or username.

    Raises:
        ClickException: there is none, or it is too far back.
    """
    wanted = named.casefold()
    # a username may have the form of an id: what has it is an id, whoever is called so
    known_by = ("id",) if _id_of(named) is not None else ("email", "username")
    for number in range(1, _LOOKED_THROUGH + 1):
        page = await client.get("/admin/users", page=number, page_size=100)
        for user in page["items"]:
            if any(user[name].casefold() == wanted for name in known_by):
                found: dict[str, Any] = user
                return found
        if number >= page["total_pages"]:
            raise click.ClickException(f"no user is called {named}: `owl admin users list`")
    raise click.ClickException(
        f"{named} is not among the newest {100 * _LOOKED_THROUGH:,} users: look through"
        " `owl admin users list --page …`"
    )


def _id_of(named: str) -> UUID | None:
    try:
        found = UUID(named)
    except ValueError:
        return None
    return found if str(found) == named.casefold() else None
