"""What the programs behind ``owl audit`` share: the log to be read, and the key to trust."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import psycopg

from api.keys import load_keys
from api.programs.failing import CalledWrongly, Unreachable, in_words
from api.programs.options import database_of, settings_from
from api.settings import Settings
from commands.notary import SigningKey
from domain.audit.checkpoint import Checkpoint, NoteInvalid, VerifierKey, checkpoint_in
from projections.audit.signature import is_signed
from projections.audit.stored import StoredLog

F = TypeVar("F", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one answer.")
pub = click.option(
    "--pub",
    metavar="KEY",
    help="The log's verifier key, as text or a file; by default that of the key in"
    " OWL_SECRETS_DIR. Take it from elsewhere to be sure of it.",
)


@contextmanager
def opened_log(options: dict[str, Any]) -> Iterator[tuple[Settings, StoredLog]]:
    """The log of the settings, read only; what is in the way is said in a sentence."""
    with in_words():
        settings = settings_from(**options)
        try:
            with StoredLog.open(database_of(settings)) as log:
                yield settings, log
        except psycopg.OperationalError as error:
            raise Unreachable(f"the database is out of reach: {error}") from error
        except psycopg.errors.UndefinedTable as error:
            raise Unreachable(f"the database holds no log: {error}") from error


def signing_key(settings: Settings) -> SigningKey:
    """The notary's key.

    Raises:
        KeysMissing: it is not in the directory of the keys.
    """
    keys = load_keys(settings.secrets_path, make=settings.profile == "dev")
    return SigningKey(keys.audit_seed)


def trusted_key(given: str | None, log: StoredLog, settings: Settings) -> VerifierKey:
    """The key that checkpoints must be signed by.

    Raises:
        CalledWrongly: what was given is no key.
    """
    if given is None:
        return VerifierKey(log.origin(), signing_key(settings).public_key)
    return given_key(given)


def given_key(text: str) -> VerifierKey:
    """A key given as text or as the name of a file.

    Raises:
        CalledWrongly: it is none.
    """
    try:
        return VerifierKey.parse(_text_of(Path(text)) if "+" not in text else text)
    except NoteInvalid as error:
        raise CalledWrongly(f"{text}: {error}") from error


def held_checkpoint(path: Path, key: VerifierKey) -> Checkpoint:
    """A checkpoint that was kept outside.

    Raises:
        CalledWrongly: it is not signed by the key.
    """
    try:
        return checkpoint_in(_text_of(path), key, is_signed)
    except NoteInvalid as error:
        raise CalledWrongly(f"{path}: {error}") from error


def print_json(answer: object) -> None:
    """One answer as JSON."""
    click.echo(msgspec.json.encode(answer).decode())


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CalledWrongly(f"{path} cannot be read: {error}") from error
