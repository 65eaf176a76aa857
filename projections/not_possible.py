"""Why something that was asked of a read model cannot be done; ``api`` has the words for it."""

from __future__ import annotations

from typing import Literal, TypeAlias

Why: TypeAlias = Literal[
    "being_rebuilt",
    "nothing_beside",
    "nothing_built",
    "shown_already",
    "not_built_to_its_end",
    "built_by_other_folds",
    "nobody_feeds",
    "live_lags",
    "kept_lags",
    "nothing_kept",
    "kept_is_behind",
    "kept_has_stopped",
    "kept_has_other_tables",
    "kept_is_unfed",
    "kept_is_read",
    "nothing_at_work",
    "nothing_being_built",
    "not_stopped",
]


class NotPossible(Exception):
    """``about`` fills the sentence for ``why``."""

    def __init__(self, read_model: str, why: Why, **about: int) -> None:
        super().__init__(f"{read_model}: {why}")
        self.read_model = read_model
        self.why = why
        self.about = about
