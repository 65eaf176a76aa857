"""The platform's keys on disk: made once in a development directory, demanded in production.

Each key is a file of its own, readable by its owner only, so that a deployment can mount each
from its secret store. None is ever given on a command line or put into an event or a log line.
"""

from __future__ import annotations

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
    )


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
