"""Patterns of event tags, as auditors give them: which tags there are, and which was meant."""

from __future__ import annotations

from difflib import get_close_matches
from fnmatch import fnmatchcase

from domain.catalogue import BY_TAG


def fits_some(pattern: str) -> bool:
    """Whether an event can be of such a type."""
    return any(fnmatchcase(tag, pattern) for tag in BY_TAG)


def nearest(pattern: str) -> str | None:
    """The tag, or the group of tags, that was meant, if one is like it."""
    groups = dict.fromkeys(f"{tag.partition('.')[0]}.*" for tag in BY_TAG)
    return next(iter(get_close_matches(pattern, [*groups, *BY_TAG], n=1)), None)
