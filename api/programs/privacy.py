"""``owl privacy``: tell a person what is stored; forget a person, and keep every proof."""

from __future__ import annotations

import asyncio
import getpass
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import click
import psycopg
from msgspec.structs import asdict, replace
from psycopg.errors import UndefinedTable

from api.client.wording import clean, yuan
from api.clock import new_id, now
from api.database import prepare_database
from api.keys import load_keys
from api.logging_setup import set_up_logging
from api.programs.audit_asking import PERSON, USERS_LISTED
from api.programs.failing import ProgramFailed, in_words
from api.programs.json_answers import as_json, print_json
from api.programs.options import servers_of, settings_from, with_database, with_servers
from api.programs.projections_open import Opening, opened
from api.settings import Settings
from api.wiring import open_core
from commands.accesses import NoteAccess, note_access
from commands.event_log.secrets import Secrets
from commands.privacy import Erased, EraseUser, erase_user
from commands.writer import Writer
from domain.envelope import Actor, Context
from domain.errors import NotFound
from domain.money import to_yuan
from domain.system.accesses import PersonReported
from projections.audit.forgetting import copies_of
from projections.audit.person import Person
from projections.audit.person import report as person_report

WHO_LOGS_IN: Final = """
    SELECT user_id FROM owl_private.credentials WHERE email_claim = %(email_claim)s
"""
EMAIL_CLAIM: Final = """
    SELECT email_claim FROM owl_private.credentials WHERE user_id = %(user_id)s
"""
WHO_GOES: Final = """
    SELECT username, email, balance_fen FROM read.users WHERE user_id = %(user_id)s
"""
CONTINUED: Final = "\n" + " " * 14


@click.group()
def command() -> None:
    """Tell a person what is stored about them; forget a person."""


@command.command()
@click.argument("named", metavar="USER", type=PERSON)
@click.option("--reason", required=True, help="Why; it is recorded for ever.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@with_servers
def erase(
    named: UUID | str,
    reason: str,
    yes: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Destroy the key of USER: nobody can read any more who that was. There is no way back.

    USER is an id or an e-mail address; `owl admin users list` shows those of all.

    E-mail address, names, addresses of logins, titles and descriptions of tasks become
    unreadable in the log, in the read models and in every bundle. Money, tasks and proofs stay.
    Replays that still show who it was are named, with exit code 1: drop them. Physical backups
    and archives of the WAL hold until they expire what read models showed, and the key: destroy
    them in time.
    """
    with in_words():
        settings = settings_from(**options)
        set_up_logging(replace(settings, log_level="WARNING"), program="privacy")
        database_url, _ = servers_of(settings)
        user = _user_named(settings, database_url, named)
        if not yes or user != named:
            click.echo(_who_goes(database_url, user), err=True)
        if not yes:
            click.confirm(f"forget user {user} for ever?", abort=True, err=True)
        try:
            erased = asyncio.run(_erase(settings, user, reason))
        except NotFound as error:
            raise ProgramFailed(f"no user has the id {user}: {USERS_LISTED}") from error
    with in_words(), psycopg.connect(database_url, autocommit=True) as connection:
        copies = copies_of(connection, user)
    if as_json:
        print_json({**asdict(erased), "copies": copies})
    elif erased.changed:
        click.echo(f"{user} is forgotten")
    else:
        click.echo(f"{user} was forgotten before; nothing was changed")
    if copies:
        drops = "; ".join(f'DROP SCHEMA "{schema}" CASCADE' for schema in copies)
        raise ProgramFailed(
            f"copies, such as of `owl audit replay`, still show who that was: {drops}"
        )


@command.command()
@click.argument("named", metavar="USER", type=PERSON)
@as_json
@with_database
def report(named: UUID | str, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Show what is stored about USER, in the clear: in the log, in read models, as a way in.

    USER is an id or an e-mail address; `owl admin users list` shows those of all.

    That it was shown is recorded first, as an event that names them and who asked.

    For the person to whom it belongs, titles and descriptions of their tasks included.
    """
    with opened(options) as opening:
        user = _user_named(opening.settings, opening.database_url, named)
        before = asyncio.run(_note(opening, user)) - 1
        history = opening.log.history()
        texts = opening.log.texts
        found = person_report(opening.database_url, history, texts, user, upto=before)
    if as_json:
        print_json(found)
    elif not found.events:
        raise ProgramFailed(f"nothing is stored about {user}")
    else:
        _print(found)


def _print(found: Person) -> None:
    erased = "" if found.is_readable else ": the key is destroyed, personal fields are erased"
    click.echo(f"user {found.user_id}, as of position {found.position}{erased}")
    if found.way_in is not None:
        active = "active" if found.way_in.is_active else "inactive"
        click.echo(f"logs in as {found.way_in.role}, {active}, with a password kept as a hash")
    for each in found.personal:
        at = each.recorded_at.isoformat(timespec="seconds").replace("+00:00", "Z")
        value = each.value.replace("\n", CONTINUED)  # nobody writes lines of this page
        line = f"{each.position:>10}  {at}  {each.tag:<32}  {each.field}: {value}"
        click.echo(clean(line).plain)
    for mentions in found.events:
        between = f"positions {mentions.first} to {mentions.last}"
        click.echo(f"{mentions.events:>10}  {mentions.tag:<32}  {between}")
    for name, count in found.tables.items():
        click.echo(f"{count:>10}  rows of {name}")
    if found.kept_states:
        click.echo(f"{found.kept_states:>10}  states kept for auditors' questions")


def _user_named(settings: Settings, database_url: str, named: UUID | str) -> UUID:
    """The id of whoever logs in with this e-mail address, told apart as a login tells it.

    Raises:
        ProgramFailed: nobody does, or not any more.
    """
    if isinstance(named, UUID):
        return named
    keys = load_keys(settings.secrets_path, make=False)
    secrets = Secrets(pepper=keys.pepper, sealing_key=keys.sealing)
    row = None
    with psycopg.connect(database_url) as connection, suppress(UndefinedTable):
        about = {"email_claim": secrets.claim_id("email", named)}
        row = connection.execute(WHO_LOGS_IN, about).fetchone()
    if row is None:
        raise ProgramFailed(f"nobody logs in as {clean(named).plain}: {USERS_LISTED}")
    user: UUID = row[0]
    return user


def _who_goes(database_url: str, user: UUID) -> str:
    """Whom the id names and what they have, so that nobody forgets the wrong person."""
    row = None
    # without read models it is still the log that decides whether there is such a user
    with psycopg.connect(database_url) as connection, suppress(UndefinedTable):
        row = connection.execute(WHO_GOES, {"user_id": user}).fetchone()
    if row is None:
        return f"no read model shows a user {user}"
    username, email, balance_fen = row
    balance = yuan(to_yuan(balance_fen))
    return clean(f"username: {username}\ne-mail: {email}\nbalance: {balance}").plain


async def _note(opening: Opening, user: UUID) -> int:
    """Record that somebody is shown a person's data; the position of that event."""
    await prepare_database(opening.database_url)
    access_id = new_id()
    shown = NoteAccess(access_id=access_id, fact=PersonReported(user_id=user))
    asker = Actor("system", f"owl-privacy/{getpass.getuser()}")
    context = Context(command_id=access_id, actor=asker, correlation_id=str(access_id))
    async with Writer(opening.log, now) as writer:
        return (await writer.run(note_access, shown, context)).position


async def _erase(settings: Settings, user: UUID, reason: str) -> Erased:
    database_url, nats_url = servers_of(settings)
    keys = load_keys(settings.secrets_path, make=settings.profile == "dev")
    await prepare_database(database_url)
    async with open_core(
        settings, keys, database_url=database_url, nats_url=nats_url, name="owl privacy"
    ) as core:
        command_id = new_id()
        committed = await core.writer.run(
            erase_user,
            EraseUser(
                user_id=user, email_claim=await _email_claim(database_url, user), reason=reason
            ),
            Context(
                command_id=command_id,
                actor=Actor("admin", "operator"),
                correlation_id=str(command_id),
            ),
        )
        erased: Erased = committed.result
        return erased


async def _email_claim(database_url: str, user: UUID) -> UUID | None:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        cursor = await connection.execute(EMAIL_CLAIM, {"user_id": user})
        row = await cursor.fetchone()
    return None if row is None else row[0]
