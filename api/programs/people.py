"""Whom an operator means: a user by id, e-mail address or username, over the API."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import click

from api.client.http import ApiClient
from domain.accounts.claim import mailbox, normalised
from domain.facts import ERASED

_LOOKED_THROUGH: Final = 100
"""Pages of a hundred: the API finds users by their id alone."""


async def user_id_of(client: ApiClient, named: str) -> str:
    """The id that ``named`` is, or that of the user so called.

    Raises:
        ClickException: there is none, or it is too far back.
    """
    return named if _uuid_in(named) else str((await user_named(client, named))["id"])


async def user_named(client: ApiClient, named: str) -> dict[str, Any]:
    """The user with this id, e-mail address or username.

    Raises:
        ClickException: there is none, or it is too far back.
    """
    if named == ERASED:
        raise click.ClickException(f"{named} may be several: give an id")
    for number in range(1, _LOOKED_THROUGH + 1):
        page = await client.get("/admin/users", page=number, page_size=100)
        for user in page["items"]:
            if _is_called(user, named):
                found: dict[str, Any] = user
                return found
        if number >= page["total_pages"]:
            raise click.ClickException(f"no user is called {named}: `owl admin users list`")
    raise click.ClickException(
        f"{named} is not among the newest {100 * _LOOKED_THROUGH:,} users: look through"
        " `owl admin users list --page …`"
    )


def _is_called(user: dict[str, Any], named: str) -> bool:
    """Told apart as the platform does, so that nobody else can be called so."""
    # a username may have the form of an id: what has it is an id, whoever is called so
    if (user_id := _uuid_in(named)) is not None:
        return bool(user["id"] == str(user_id))
    is_mailbox = mailbox(user["email"]) == mailbox(named)
    return is_mailbox or normalised(user["username"]) == normalised(named)


def _uuid_in(named: str) -> UUID | None:
    try:
        found = UUID(named)
    except ValueError:
        return None
    return found if str(found) == named.casefold() else None
