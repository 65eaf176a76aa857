"""What strangers wrote, as plain text: nothing that a terminal obeys or misleads an eye."""

from __future__ import annotations

import re

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """The text without terminal escapes, control characters and changes of direction."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text))
