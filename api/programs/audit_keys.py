"""``owl audit keys``: the keys that sign the log, one after the other, and how to change it."""

from __future__ import annotations

import asyncio
import getpass
from typing import Any

import click

from api.audit_shapes import listed_keys
from api.clock import new_id, now
from api.database import prepare_database
from api.keys import load_keys, next_audit_seed, take_next_audit_seed
from api.logging_setup import set_up_logging
from api.programs.audit_log import log_keys, opened_log, signing_key
from api.programs.failing import ProgramFailed, in_words
from api.programs.json_answers import as_json, print_json
from api.programs.options import database_of, with_database
from api.settings import Settings
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from commands.log_keys import RotateLogKey, rotate_log_key
from commands.signatures import SigningKey
from commands.writer import Writer
from domain.audit.checkpoint import Checkpoint, NoteInvalid, VerifierKey, checkpoint_in, parts
from domain.audit.rotation import KeyChain, Rotation
from domain.envelope import Actor, Context
from projections.audit.signature import is_signed
from projections.audit.stored import StoredLog


@click.group()
def keys() -> None:
    """List the keys that have signed the log; change the one that signs."""


@keys.command(name="list")
@as_json
@with_database
def list_keys(as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """List every key that has signed the log, oldest first: one of them held is enough."""
    with opened_log(options) as (settings, log):
        found = listed_keys(log_keys(settings, log))
    if as_json:
        print_json(found)
        return
    for each in found:
        signs = "  signs now" if each.signs_now else ""
        click.echo(f"from position {each.since:>10}  {each.key}{signs}")


@keys.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@with_database
def rotate(yes: bool, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Let a new key sign the log: the old and the new one sign the event that says so.

    The new key is made in OWL_SECRETS_DIR; the notary takes it by itself, on other machines as
    soon as `audit-signing-key` is there. The old one stays as `audit-signing-key-previous`: who
    holds its public key can check everything that is signed from now on. Interrupted, the same
    command goes on.
    """
    if not yes:
        click.confirm("let a new key sign the log from now on?", abort=True, err=True)
    with opened_log(options) as (settings, log):
        set_up_logging(settings, program="audit")
        made = _rotated(settings, log)
    if as_json:
        print_json({"key": str(made)})
        return
    click.echo(str(made))
    click.echo(
        "signs from now on: keep it beside the old one, and give it to every auditor", err=True
    )


def _rotated(settings: Settings, log: StoredLog) -> VerifierKey:
    chain = log_keys(settings, log)
    if chain.links and _next(settings, chain) == chain.newest:
        _take(settings)  # the event is there, the file was not in its place yet
        return chain.newest
    _require_signed(chain, log)
    old = chain.newest
    signs, made = signing_key(settings, old), _next(settings, chain)
    new = SigningKey(next_audit_seed(settings.secrets_path))
    note = Rotation(log.head(), old, made).signed_by(signs.sign, new.sign)
    with in_words():
        asyncio.run(_record(settings, note))
    _take(settings)
    return made


def _next(settings: Settings, chain: KeyChain) -> VerifierKey:
    try:
        seed = next_audit_seed(settings.secrets_path)
    except OSError as error:
        raise ProgramFailed(
            f"a new key cannot be written into {settings.secrets_path} ({error.strerror}): run"
            " this where OWL_SECRETS_DIR can be written, and bring the files from there"
        ) from error
    return VerifierKey(chain.newest.name, SigningKey(seed).public_key)


def _take(settings: Settings) -> None:
    try:
        take_next_audit_seed(settings.secrets_path)
    except OSError as error:
        raise ProgramFailed(
            f"the log names the new key, but audit-signing-key-next could not take the place of"
            f" audit-signing-key in {settings.secrets_path} ({error.strerror}): run this again"
        ) from error


def _require_signed(chain: KeyChain, log: StoredLog) -> None:
    """The key that signs now has signed: or there would be no telling which comes when."""
    note = log.last_checkpoint()
    try:
        if note is None:
            raise NoteInvalid("there is none")  # noqa: TRY301
        size = Checkpoint.parse(parts(note)[0]).size
        checkpoint_in(note, chain.newest, is_signed)
    except NoteInvalid as error:
        raise ProgramFailed(
            f"the newest checkpoint is not by the key that signs now ({error}): let `owl work`"
            " sign once, then change the key"
        ) from error
    assert chain.at(size) == chain.newest, "a key has signed what came before its time"


async def _record(settings: Settings, note: str) -> None:
    database_url = database_of(settings)
    found = load_keys(settings.secrets_path, make=False)
    secrets = Secrets(pepper=found.pepper, sealing_key=found.sealing)
    await prepare_database(database_url)
    durable = settings.requires_durability
    with EventLog.open(database_url, secrets=secrets, require_durable=durable) as log:
        async with Writer(log, now) as writer:
            command_id = new_id()
            operator = Actor("system", f"owl-audit/{getpass.getuser()}")
            context = Context(
                command_id=command_id, actor=operator, correlation_id=str(command_id)
            )
            await writer.run(rotate_log_key, RotateLogKey(note=note), context)
