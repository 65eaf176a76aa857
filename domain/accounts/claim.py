"""A claim on a unique value: one user at most owns an e-mail address or username at a time."""

from __future__ import annotations

import unicodedata
from typing import Final, Literal, assert_never
from uuid import UUID

from msgspec import Struct

from domain.accounts.events import ClaimFact, NameClaimed, NameReleased
from domain.decider import Decider
from domain.errors import Refused

ClaimKind = Literal["email", "username"]
ACE_PREFIX: Final = "xn--"


class EmailTaken(Refused):
    """The e-mail address belongs to another user."""

    code = "EMAIL_TAKEN"


class UsernameTaken(Refused):
    """The username belongs to another user."""

    code = "USERNAME_TAKEN"


class Claim(Struct, frozen=True):
    """Who owns the value; ``None`` when nobody does."""

    owner: UUID | None = None


def evolve(_claim: Claim, fact: ClaimFact) -> Claim:
    """Fold one fact."""
    match fact:
        case NameClaimed(user_id=user_id):
            return Claim(owner=user_id)
        case NameReleased():
            return Claim()
        case _:
            assert_never(fact)


CLAIM: Decider[Claim] = Decider("claim", Claim(), evolve, ClaimFact)


def normalised(value: str) -> str:
    """Equal for values that differ only in case or compatible Unicode form.

    This is the compatibility caseless match of the Unicode Standard, section 3.13, D146. One
    round of folding is not enough: folding undoes some normal forms and the reverse.
    """
    folded = unicodedata.normalize("NFD", value).casefold()
    folded = unicodedata.normalize("NFKD", folded).casefold()
    return unicodedata.normalize("NFKC", folded)


def mailbox(address: str) -> str:
    """An e-mail address ``normalised``, with its domain as people read it.

    ``xn--exmple-cua.com`` and ``exämple.com`` are one domain (RFC 5891), so one mailbox.
    """
    local, at, host = normalised(address).rpartition("@")
    return normalised(local + at + ".".join(map(_as_read, host.split("."))))


def _as_read(label: str) -> str:
    """A label of a domain, decoded; as it is where that gives no text."""
    if not label.startswith(ACE_PREFIX):
        return label
    try:
        text = label.removeprefix(ACE_PREFIX).encode("ascii").decode("punycode")
        text.encode()  # a lone surrogate is no text
    except UnicodeError:
        return label
    return label if text.isascii() else text


def claim(held: Claim, kind: ClaimKind, *, user_id: UUID) -> tuple[NameClaimed, ...]:
    """Take the value for ``user_id``; nothing to do when it already is theirs.

    Raises:
        EmailTaken, UsernameTaken: somebody else has it.
    """
    if held.owner == user_id:
        return ()
    if held.owner is not None:
        raise EmailTaken if kind == "email" else UsernameTaken
    return (NameClaimed(kind=kind, user_id=user_id),)


def release(held: Claim, kind: ClaimKind, *, user_id: UUID) -> tuple[NameReleased, ...]:
    """Give the value up, if it is the user's."""
    return (NameReleased(kind=kind, user_id=user_id),) if held.owner == user_id else ()
