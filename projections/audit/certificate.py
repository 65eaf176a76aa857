"""The outcome of a reconciliation as a text to sign and to keep; it names no account."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import asdict

from domain.audit.checkpoint import Sign, VerifierKey, signed
from projections.audit.reconcile import Reconciled


def summary(found: Reconciled) -> dict[str, Any]:
    """What was found, with the number of accounts in their place."""
    accounts = {"accounts": len(found.accounts), "is_right": found.is_right}
    return asdict(found) | accounts


def certificate(found: Reconciled, key: VerifierKey, sign: Sign) -> str:
    """The same as a signed note: the log, the position, the summary as JSON, a line each."""
    result = msgspec.json.encode(summary(found)).decode()
    return signed(f"{key.name}\n{found.position}\n{result}\n", key, sign)
