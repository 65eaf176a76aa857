"""Money: whole fen inside, yuan only at the edge; each move is a balanced set of postings."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

Fen: TypeAlias = int
"""One hundredth of a yuan."""

FEN_PER_YUAN = 100
MS_PER_MINUTE = 60_000
NAMES_KEPT = 4096
"""A user's money moves again soon, and to write an id out takes longer than to look it up."""

RECHARGED = "recharged"
"""What came in by recharge codes; grows negative, as the outside world gives."""
GRANTED = "granted"
"""What operators gave or took by hand."""
REVENUE = "revenue"
"""What the platform earned."""


class Posting(Struct, frozen=True, array_like=True):
    """``amount_fen`` added to ``account``; the postings of one fact sum to zero."""

    account: str
    amount_fen: Fen


Postings: TypeAlias = tuple[Posting, ...]


@lru_cache(maxsize=NAMES_KEPT)
def available(user_id: UUID) -> str:
    """The account of what a user may spend."""
    return f"available/{user_id}"


@lru_cache(maxsize=NAMES_KEPT)
def held(user_id: UUID) -> str:
    """The account of what is set aside for a user's open tasks."""
    return f"held/{user_id}"


def transfer(amount_fen: Fen, *, source: str, target: str) -> Postings:
    """Move ``amount_fen`` from one account to another; no postings when it is nothing."""
    if amount_fen == 0:
        return ()
    return (Posting(source, -amount_fen), Posting(target, amount_fen))


def price_of(run_ms: int, *, price_fen_per_minute: Fen) -> Fen:
    """The price of ``run_ms`` milliseconds, rounded half up to a fen."""
    return (2 * run_ms * price_fen_per_minute + MS_PER_MINUTE) // (2 * MS_PER_MINUTE)


def to_yuan(amount_fen: Fen) -> float:
    """For a response: a JSON number with at most two decimals."""
    return amount_fen / FEN_PER_YUAN
