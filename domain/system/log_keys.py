"""Facts about the key that signs the log: every change of it is in the log that it signs."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from domain.audit.checkpoint import NoteInvalid, VerifierKey, Verify, parts
from domain.audit.rotation import Link, Rotation, rotation_in
from domain.decider import Decider
from domain.errors import InvalidState
from domain.facts import Fact


class LogKeyRotated(Fact, frozen=True, tag="system.log_key_rotated/1", kw_only=True):
    """From this event on another key signs; ``note`` says so, signed by the old and the new."""

    note: str


LogKeyFact: TypeAlias = LogKeyRotated

TAG: Final = "system.log_key_rotated/1"


def link_of(position: int, state: bytes) -> Link:
    """The statement in an event as it is stored; an empty one if it does not read."""
    try:
        return Link(position, msgspec.json.decode(state, type=LogKeyRotated).note)
    except ValueError:
        return Link(position, "")


def _newest(key: str, fact: LogKeyFact) -> str:
    try:
        return str(Rotation.parse(parts(fact.note)[0]).new)
    except NoteInvalid:  # whoever verifies the log says so
        return key


LOG_KEYS: Final[Decider[str]] = Decider("log_keys", "", _newest, LogKeyFact)
"""The verifier key that signs now; nothing while it is still the first one."""


def rotate(newest: str, note: str, verify: Verify) -> LogKeyRotated:
    """Change the key.

    Raises:
        InvalidState: the note is not signed by both keys, or is from a key that is not in use.
    """
    try:
        rotation = rotation_in(note, verify)
    except NoteInvalid as error:
        raise InvalidState(str(error)) from error
    if newest and VerifierKey.parse(newest) != rotation.old:
        raise InvalidState("another change of keys came first")
    return LogKeyRotated(note=note)
