"""What a database lacks whose table is not there: the log, or only what is built from it."""

from __future__ import annotations

import re

from psycopg.errors import UndefinedTable

_OF_READ_MODELS = re.compile(r'"(owl_read|read|rm_\w+)\.')


def in_words_of(error: UndefinedTable) -> str:
    """What is missing, and what to do."""
    if _OF_READ_MODELS.search(str(error)):
        return "no read models yet: owl projections rebuild --all"
    return f"the database holds no log: {error}"
