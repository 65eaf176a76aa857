"""What the programs behind ``owl audit`` share: the log to be read, and the key to trust."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import psycopg

from api.keys import KeysMissing, load_keys
from api.programs.failing import CalledWrongly, Unreachable, in_words
from api.programs.missing_tables import in_words_of
from api.programs.options import database_of, settings_from
from api.settings import Settings
from commands.signatures import KeysAtHand, SigningKey, SigningKeyMissing
from domain.audit.checkpoint import Checkpoint, NoteInvalid, VerifierKey
from domain.audit.rotation import KeyChain
from projections.audit.signature import is_signed
from projections.audit.stored import StoredLog

F = TypeVar("F", bound=Callable[..., Any])

force = click.option("--force", is_flag=True, help="Overwrite the file if it is there.")
pub = click.option(
    "--pub",
    metavar="KEY",
    help="The log's verifier key, as text or a file; by default that of the key in"
    " OWL_SECRETS_DIR. Take it from elsewhere to be sure of it.",
)


def may_write(output: Path | None, *, force: bool) -> None:
    """Refuse what cannot be written, or is kept by an auditor, before anything is asked."""
    if output is None:
        return
    if not output.parent.is_dir():
        raise CalledWrongly(f"no directory {output.parent}: name a file in one that is there")
    if output.is_file() and not force:
        raise CalledWrongly(
            f"{output} is there already: name another file, or overwrite it with --force"
        )


@contextmanager
def opened_log(options: dict[str, Any]) -> Iterator[tuple[Settings, StoredLog]]:
    """The log of the settings, read only; what is in the way is said in a sentence."""
    with in_words():
        settings = settings_from(**options)
        try:
            with StoredLog.open(database_of(settings)) as log:
                yield settings, log
        except psycopg.errors.UndefinedTable as error:
            raise Unreachable(in_words_of(error)) from error


def log_keys(settings: Settings, log: StoredLog) -> KeyChain:
    """The keys of the log, as far as this platform's own vouches for them.

    Raises:
        KeysMissing: it is not in the directory of the keys.
        CalledWrongly: it is not of this log.
    """
    return chained(VerifierKey(log.origin(), _at_hand(settings).own.public_key), log)


def chain_of(key: VerifierKey, log: StoredLog) -> KeyChain:
    """The same; of a broken one the key alone, for whoever says by himself what is broken."""
    try:
        return KeyChain.of(key, log.links(), is_signed)
    except NoteInvalid:
        return KeyChain(((0, key),))


def chained(key: VerifierKey, log: StoredLog) -> KeyChain:
    """The keys of the log, one of which is ``key``.

    Raises:
        CalledWrongly: it is not.
    """
    try:
        return KeyChain.of(key, log.links(), is_signed)
    except NoteInvalid as error:
        raise CalledWrongly(f"{error}: say which key you trust with --pub") from error


def signing_key(settings: Settings, key: VerifierKey) -> SigningKey:
    """What signs for ``key``.

    Raises:
        KeysMissing: it is not in the directory of the keys.
    """
    try:
        return _at_hand(settings).private(key)
    except SigningKeyMissing as error:
        raise KeysMissing(str(error)) from error


def _at_hand(settings: Settings) -> KeysAtHand:
    keys = load_keys(settings.secrets_path, make=settings.profile == "dev")
    return KeysAtHand(lambda: [SigningKey(seed) for seed in keys.audit_seeds()])


def trusted_key(given: str | None, log: StoredLog, settings: Settings) -> VerifierKey:
    """The key that checkpoints must be signed by.

    Raises:
        CalledWrongly: what was given is no key.
    """
    if given is None:
        return VerifierKey(log.origin(), _at_hand(settings).own.public_key)
    return given_key(given)


def given_key(text: str) -> VerifierKey:
    """A key given as text or as the name of a file.

    Raises:
        CalledWrongly: it is none.
    """
    try:
        return VerifierKey.parse(_text_of(Path(text)) if "+" not in text else text)
    except NoteInvalid as error:
        raise CalledWrongly(f"{text} is no verifier key, nor a file of one: {error}") from error


def held_checkpoint(path: Path, keys: KeyChain, *, hint: str = "") -> Checkpoint:
    """A checkpoint that was kept outside; ``hint``: what to do where it is by another key.

    Raises:
        CalledWrongly: it is not signed by the key of its size.
    """
    try:
        return keys.checkpoint_in(_text_of(path), is_signed)
    except NoteInvalid as error:
        raise CalledWrongly(f"{path}: {error}{hint}") from error


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CalledWrongly(f"{path} is no text") from error
    except OSError as error:
        raise CalledWrongly(f"{path} cannot be read: {error}") from error
