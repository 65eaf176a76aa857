"""How a program ends when it cannot go on: one sentence on stderr and a code, no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
import psycopg
from psycopg.errors import DataCorrupted, IndexCorrupted, LockNotAvailable

from api.database import DatabaseRefused
from api.embedded.failure import StackFailed
from api.keys import KeysMissing
from api.settings import SettingsInvalid
from commands.event_log.failures import NotDurable
from domain.errors import Refused
from domain.ports import OutOfReach

_CHECK = "see OWL_DATABASE_URL or --database-url; `owl doctor` looks at it"
_STARTING = (
    "the database system is"  # starting up, shutting down, in recovery, not yet accepting
)
_SOON = "try again in a moment"


class ProgramFailed(click.ClickException):
    """It was tried and failed; the message says why and what to do."""

    exit_code = 1


class CalledWrongly(ProgramFailed):
    """A setting or an argument is wrong."""

    exit_code = 2


class NotCompared(CalledWrongly):
    """There is nothing to compare: that must not look like a difference."""


class Unreachable(ProgramFailed):
    """The database, the broker or a key is not there."""

    exit_code = 3


@contextmanager
def in_words() -> Iterator[None]:
    """Turn what a user can mend into a sentence; a defect keeps its traceback.

    Raises:
        CalledWrongly: the settings, or a URL among them, are no good.
        Unreachable: the database, the broker or a key is not there.
        ProgramFailed: anything else that was refused.
    """
    try:
        yield
    except SettingsInvalid as error:
        raise CalledWrongly(str(error)) from error
    except LockNotAvailable as error:
        raise Unreachable(str(error)) from error
    except psycopg.OperationalError as error:
        why = str(error).strip().partition("\n")[0]
        then = _SOON if _STARTING in why else _CHECK
        raise Unreachable(f"the database does not answer ({why}): {then}") from error
    except (DataCorrupted, IndexCorrupted) as error:
        why = str(error).strip().partition("\n")[0]
        raise ProgramFailed(
            f"the database has something damaged ({why}): look at its disk, and restore it"
            " from a backup"
        ) from error
    except psycopg.ProgrammingError as error:
        if error.sqlstate is not None:
            raise  # a statement of ours
        raise CalledWrongly(
            f"that names no database ({str(error).strip()}): {_CHECK}"
        ) from error
    except (KeysMissing, NotDurable, OutOfReach) as error:
        raise Unreachable(str(error)) from error
    except (DatabaseRefused, StackFailed, Refused) as error:
        raise ProgramFailed(str(error)) from error
