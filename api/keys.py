"""The platform's keys on disk: made once in a development directory, demanded in production.

Each key is a file of its own, readable by its owner only, so that a deployment can mount each
from its secret store. None is ever given on a command line or put into an event or a log line.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

import nkeys
from msgspec import Struct

_BYTES = 32
_SEALED_MODE = 0o600
_SIGNING = "jwt-current"
_RETIRED = "jwt-previous"
_PEPPER = "pepper"
_SEALING = "sealing-key"
_BROKER = "nats-password"
_ISSUER = "nats-issuer-seed"
_AUDIT = "audit-signing-key"
_AUDIT_NEXT = "audit-signing-key-next"
_AUDIT_BEFORE = "audit-signing-key-previous"

NAMES = (_SIGNING, _PEPPER, _SEALING, _BROKER, _ISSUER, _AUDIT)


class KeysMissing(Exception):
    """A key file is absent or too short; the message says which and how to make it."""


class Keys(Struct, frozen=True, kw_only=True):
    """``pepper``: for keyed digests. ``sealing``: for what must be shown again (codes).

    ``signing`` maps key ids to token keys, the one that signs first. ``broker_password`` is the
    platform's own at NATS; ``issuer_seed`` signs what agents may do there. ``audit_seed`` is
    the notary's, which signs the log's checkpoints.
    """

    pepper: bytes
    sealing: bytes
    signing: dict[str, bytes]
    broker_password: str
    issuer_seed: bytes
    audit_seed: bytes
    directory: Path | None = None
    """Where they were read from: the log may name another key while a process runs."""

    def audit_seeds(self) -> list[bytes]:
        """The notary's, then what lies there now: as it is, the next one, the one before."""
        if self.directory is None:
            return [self.audit_seed]
        names = (_AUDIT, _AUDIT_NEXT, _AUDIT_BEFORE)
        there = [name for name in names if (self.directory / name).exists()]
        return [self.audit_seed, *(_read(self.directory, name)[:_BYTES] for name in there)]

    @property
    def snapshots(self) -> bytes:
        """What seals the states that are kept for auditors' questions."""
        return hmac.digest(self.pepper, b"snapshots", hashlib.sha256)

    @property
    def issuer_public_key(self) -> str:
        """What the broker's configuration names as the issuer of agents' permissions."""
        public_key: bytes = nkeys.from_seed(self.issuer_seed).public_key
        return public_key.decode()


def load_keys(directory: Path, *, make: bool) -> Keys:
    """Read all keys; with ``make``, missing ones are made first.

    Raises:
        KeysMissing: a key is not there, or is shorter than 32 bytes.
    """
    if make:
        make_keys(directory)
    signing = {"current": _read(directory, _SIGNING)}
    if (directory / _RETIRED).exists():
        signing["previous"] = _read(directory, _RETIRED)
    return Keys(
        pepper=_read(directory, _PEPPER),
        sealing=_read(directory, _SEALING),
        signing=signing,
        broker_password=_read(directory, _BROKER).hex(),
        issuer_seed=_text(directory, _ISSUER).encode(),
        audit_seed=_read(directory, _AUDIT)[:_BYTES],
        directory=directory,
    )


def next_audit_seed(directory: Path) -> bytes:
    """The key that shall sign the log next; made unless an interrupted change has left one."""
    if not (directory / _AUDIT_NEXT).exists():
        _write(directory / _AUDIT_NEXT, secrets.token_hex(_BYTES))
    return _read(directory, _AUDIT_NEXT)[:_BYTES]


def take_next_audit_seed(directory: Path) -> None:
    """Let the next key be the one that signs, and keep the one before; there is always one."""
    before = directory / f"{_AUDIT_BEFORE}.part"
    before.unlink(missing_ok=True)
    _write(before, _text(directory, _AUDIT))
    before.replace(directory / _AUDIT_BEFORE)
    (directory / _AUDIT_NEXT).replace(directory / _AUDIT)


def make_keys(directory: Path) -> list[str]:
    """Make what is missing; the names of the files that were made."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = [name for name in NAMES if not (directory / name).exists()]
    for name in made:
        fresh = (
            nkeys.encode_seed(os.urandom(_BYTES), nkeys.PREFIX_BYTE_ACCOUNT).decode()
            if name == _ISSUER
            else secrets.token_hex(_BYTES)
        )
        _write(directory / name, fresh)
    return made


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _SEALED_MODE)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text + "\n")


def _text(directory: Path, name: str) -> str:
    path = directory / name
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise KeysMissing(
            f"{path} is missing: run `owl keys make {directory}` once and keep the files safe"
        ) from None


def _read(directory: Path, name: str) -> bytes:
    try:
        key = bytes.fromhex(_text(directory, name))
    except ValueError:
        raise KeysMissing(f"{directory / name} must hold hexadecimal digits") from None
    if len(key) < _BYTES:
        raise KeysMissing(f"{directory / name} is too short: {_BYTES} bytes are needed")
    return key
