"""What the programs behind ``owl projections`` share: the log, the writer, who operates."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeVar

import click
import psycopg
from rich.console import Console
from rich.table import Table

from api.clock import new_id, now
from api.database import prepare_database
from api.keys import load_keys
from api.logging_setup import set_up_logging
from api.ordering import BUSY
from api.programs.failing import ProgramFailed, Unreachable, in_words
from api.programs.missing_tables import in_words_of
from api.programs.options import database_of, settings_from
from api.read_model_texts import why_not
from api.rebuilding import Operating
from api.settings import Settings
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from commands.writer import Writer
from domain.envelope import Actor
from domain.system.read_models import Act
from projections.catalogue import READ_MODELS
from projections.fingerprint import fingerprints
from projections.not_possible import NotPossible
from projections.read_model import ReadModel, Source

T = TypeVar("T")

PIPED_WIDTH = 10_000
NAMES = [model.name for model in READ_MODELS]
unfed_option = click.option(
    "--unfed",
    is_flag=True,
    help="Though no worker that runs has the rows' folds: they stand still until one does.",
)
name_argument = click.argument("name", type=click.Choice(NAMES), metavar="NAME")


class Opening:
    """The log of the settings."""

    def __init__(self, settings: Settings, log: EventLog) -> None:
        self.settings = settings
        self.log = log
        self.database_url = database_of(settings)

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Of this program's folds, by read model."""
        return fingerprints(READ_MODELS)

    def heads(self) -> dict[Source, int]:
        """The heads of the two logs."""
        return {
            "business": self.log.feed().head(),
            "telemetry": self.log.telemetry.feed().head(),
        }

    def operated(self, act: Callable[[Operating], Awaitable[T]]) -> T:
        """What an operator's act gives, done to its end by whoever runs this program."""

        async def operate() -> T:
            await prepare_database(self.database_url)
            operator = Actor("system", f"owl-projections/{getpass.getuser()}")
            async with Writer(self.log, now) as writer:
                return await act(Operating(self.log, writer, new_id, operator))

        return asyncio.run(operate())

    def acted(
        self, name: str, act: Act, do: Callable[[Operating, ReadModel], Awaitable[T]]
    ) -> T:
        """``operated`` on NAME; that it is about to be done is in the log before it is."""

        async def begun(operating: Operating) -> T:
            await operating.begin(name, act)
            try:
                return await do(operating, model_named(name))
            except (NotPossible, psycopg.errors.LockNotAvailable) as no:
                why = why_not(no).en if isinstance(no, NotPossible) else BUSY.en
                await operating.refuse(name, act, why)
                raise ProgramFailed(why) from no

        return self.operated(begun)


@contextmanager
def opened(options: dict[str, Any]) -> Iterator[Opening]:
    """Open the log; what is in the way is said in a sentence."""
    with in_words():
        settings = settings_from(**options)
        set_up_logging(settings, program="projections")
        database_url = database_of(settings)  # first: without it, keys are not the trouble
        keys = load_keys(settings.secrets_path, make=False)
        secrets = Secrets(pepper=keys.pepper, sealing_key=keys.sealing)
        durable = settings.requires_durability
        with EventLog.open(database_url, secrets=secrets, require_durable=durable) as log:
            try:
                yield Opening(settings, log)
            except NotPossible as error:
                raise ProgramFailed(why_not(error).en) from error
            except psycopg.errors.UndefinedTable as error:
                raise Unreachable(in_words_of(error)) from error
            except psycopg.OperationalError as error:
                why = str(error).strip().partition("\n")[0]
                raise Unreachable(
                    f"the database went away ({why}): run it again when it is back; what was"
                    " being built goes on where it was"
                ) from error


def print_table(table: Table) -> None:
    """As wide as the terminal; as wide as it is where nobody's eyes bound it."""
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    Console(width=width).print(table)


def model_named(name: str) -> ReadModel:
    """One of the catalogue."""
    return next(model for model in READ_MODELS if model.name == name)
