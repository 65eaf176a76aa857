"""What is on the disk, asked from asynchronous tests."""

from __future__ import annotations

from pathlib import Path


def holds_files(directory: Path) -> bool:
    """Whether anything was left in ``directory``."""
    return any(directory.iterdir())
