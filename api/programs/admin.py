"""``owl admin``: users and configuration, over the API; and the first administrator.

That one is made straight in the log, before there is anybody to ask.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from typing import Any, Literal
from uuid import UUID

import click
import msgspec
from msgspec.structs import replace

from api.database import prepare_database
from api.keys import load_keys
from api.logging_setup import set_up_logging
from api.programs.admin_config import config
from api.programs.admin_users import users
from api.programs.failing import CalledWrongly, in_words
from api.programs.options import servers_of, settings_from, with_servers
from api.registration import create_admin
from api.settings import Settings
from api.wiring import open_core, open_platform

_PASSWORD_BYTES = 18


@click.group()
def command() -> None:
    """Users and their roles; the configuration; the first administrator."""


command.add_command(users)
command.add_command(config)


@command.command()
@click.argument("email")
@click.option("--username", help="By default what stands before the @.")
@click.option("--full-name", default="", help="The name that others see.")
@click.option(
    "--role",
    type=click.Choice(["admin", "super_admin", "auditor"]),
    default="super_admin",
    show_default=True,
)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--json", "as_json", is_flag=True, help="Print the account as JSON.")
@with_servers
def create(
    email: str,
    username: str | None,
    full_name: str,
    role: Literal["admin", "super_admin", "auditor"],
    password_stdin: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Open an operator's account for EMAIL, straight in the database.

    Without --password-stdin a password is made up and printed once.
    """
    with in_words():
        settings = settings_from(**options)
        set_up_logging(replace(settings, log_level="WARNING"), program="admin")
        given = sys.stdin.readline().strip() if password_stdin else ""
        password = given or secrets.token_urlsafe(_PASSWORD_BYTES)
        if len(password) < settings.shortest_password:
            raise CalledWrongly(f"a password needs {settings.shortest_password} characters")
        account = {
            "email": email,
            "username": username or email.partition("@")[0],
            "full_name": full_name,
            "role": role,
        }
        user_id = asyncio.run(_create(settings, password=password, **account))
    answer = {"id": str(user_id), **account} | ({} if given else {"password": password})
    if as_json:
        click.echo(msgspec.json.encode(answer).decode())
        return
    click.echo(f"{email} is {role} now")
    if not given:
        click.echo(f"password (shown once): {password}")


async def _create(settings: Settings, **account: Any) -> UUID:
    database_url, nats_url = servers_of(settings)
    keys = load_keys(settings.secrets_path, make=settings.profile == "dev")
    await prepare_database(database_url)
    async with (
        open_core(
            settings, keys, database_url=database_url, nats_url=nats_url, name="owl admin"
        ) as core,
        open_platform(core, agent_nats_url=nats_url) as platform,
    ):
        return await create_admin(platform, **account)
