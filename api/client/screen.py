"""Where answers are shown: the terminal, or a wide plain page where there is none."""

from __future__ import annotations

from typing import Final

from rich.console import Console

_WIDE: Final = 100_000
"""Columns of a file or pipe: nothing is folded or cut there, however long a title is."""


def console(*, beside: bool = False) -> Console:
    """Standard output, or with ``beside`` standard error. NO_COLOR is respected by rich."""
    screen = Console(highlight=False, stderr=beside)
    if screen.is_terminal:
        return screen
    return Console(highlight=False, stderr=beside, width=_WIDE)
