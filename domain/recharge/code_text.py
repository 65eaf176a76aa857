"""How a recharge code is written: ``OWL-XXXX-XXXX-XXXX``, 12 of 32 symbols, 60 bits.

The alphabet leaves out 0, O, 1 and I. Codes are read without regard to case, dashes or spaces.
"""

from __future__ import annotations

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
PREFIX = "OWL"
SYMBOLS = 12
RANDOM_BYTES = 8
_GROUP = 4


def code_from(randomness: bytes) -> str:
    """Twelve symbols of five bits each, taken from at least 8 random bytes."""
    bits = int.from_bytes(randomness[:RANDOM_BYTES], "big")
    symbols = "".join(ALPHABET[(bits >> (5 * index)) & 31] for index in range(SYMBOLS))
    return written(symbols)


def written(symbols: str) -> str:
    """The printed form of twelve symbols."""
    groups = (symbols[at : at + _GROUP] for at in range(0, SYMBOLS, _GROUP))
    return "-".join((PREFIX, *groups))


def read(text: str) -> str | None:
    """The twelve symbols of a code as somebody typed it, ``None`` when it cannot be one.

    Symbols that no code has (0, O, 1, I) are let through: then it is a code that never was.
    """
    symbols = text.upper().replace("-", "").replace(" ", "").removeprefix(PREFIX)
    if len(symbols) != SYMBOLS or not (symbols.isascii() and symbols.isalnum()):
        return None
    return symbols


def hint_of(code: str) -> str:
    """What lists show: ``OWL-ABCD-****-****``."""
    return f"{code[: len(PREFIX) + 1 + _GROUP]}-****-****"
