"""What all accounts and codes of a log add up to."""

from __future__ import annotations

from msgspec import Struct

from domain.money import Fen


class Totals(Struct):
    """Sums over the whole log so far, in fen."""

    recharged_fen: Fen = 0
    granted_fen: Fen = 0
    revenue_fen: Fen = 0
    issued_fen: Fen = 0
    """What all codes promised: amount times uses."""
    redeemed_fen: Fen = 0
