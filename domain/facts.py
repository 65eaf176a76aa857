"""The base of every fact: something that happened, kept for ever under a permanent tag.

A tag (``recharge.code_redeemed/1``) is the fact's name in the log, the subject it travels under
and the discriminator of the one union decoder. Never rename a tag, never reuse it: add a field
with a default, or a new tag and an upcaster. Log bookkeeping (position, stream, actor …) is not
in the fact but in its envelope, ``domain.envelope.Recorded``.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypeAlias
from uuid import UUID

from msgspec import Meta, Struct

_PERSONAL = "personal"
_PRIVATE = "private"

Personal: TypeAlias = Annotated[str, Meta(extra={_PERSONAL: True})]
"""Text about a person (e-mail, name, address). The mapper stores it encrypted under the key of
the fact's ``user_id``; after that key is destroyed it reads as ``ERASED``."""

Private: TypeAlias = Annotated[str, Meta(extra={_PRIVATE: True})]
"""Text that a user wrote for themselves. Stored as ``Personal`` is, unless it is empty; and it
stays sealed in what is read and in the rows of read models, until somebody is shown it."""

ERASED = "[erased]"


class Fact(Struct, frozen=True, omit_defaults=True, tag_field="type", gc=False):
    """Something that happened. Subclasses give ``tag=`` and ``kw_only=True``.

    Made of what JSON says, it is in no cycle: there is nothing for the collector to look at.
    """


def tag_of(fact: type[Fact] | Fact) -> str:
    """The permanent tag, such as ``tasks.task_started/1``."""
    tag = fact.__struct_config__.tag
    if not isinstance(tag, str):
        message = f"{fact!r} has no text tag"
        raise TypeError(message)
    return tag


def is_personal(metadata: tuple[object, ...]) -> bool:
    """Whether the ``Annotated`` metadata of a field marks it as personal."""
    return _is_marked(metadata, _PERSONAL)


def is_private(metadata: tuple[object, ...]) -> bool:
    """Whether the ``Annotated`` metadata of a field marks it as private."""
    return _is_marked(metadata, _PRIVATE)


def _is_marked(metadata: tuple[object, ...], mark: str) -> bool:
    return any(isinstance(item, Meta) and mark in (item.extra or {}) for item in metadata)


class SealedText(NamedTuple):
    """A private field as it was read, to be opened for whoever is shown it."""

    fact: type[Fact]
    field: str
    user_id: UUID
    value: str
