"""A proof as a text that stands alone: an event's leaf, its path, and a signed checkpoint.

Source: C2SP tlog-proof. ``extra`` holds the canonical envelope that the leaf is the hash of, so
that a reader need not have the log.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final

from domain.audit.merkle import Hash

FIRST_LINE: Final = "c2sp.org/tlog-proof@v1"


def tlog_proof(*, index: int, proof: Sequence[Hash], note: str, envelope: bytes) -> str:
    """The text; ``note`` is the signed checkpoint over a tree that holds leaf ``index``."""
    hashes = "".join(base64.b64encode(sibling).decode() + "\n" for sibling in proof)
    extra = base64.b64encode(envelope).decode()
    return f"{FIRST_LINE}\nextra {extra}\nindex {index}\n{hashes}\n{note}"
