"""What a writer has done since it was opened, for whoever watches it."""

from __future__ import annotations

from msgspec import Struct


class WriterCounts(Struct):
    """Counted up in place. A round is one commit, however many commands share it."""

    rounds: int = 0
    commands: int = 0
    facts: int = 0
    failed_rounds: int = 0
    """Rounds that had to be decided again: another process was faster, or the log was away."""
