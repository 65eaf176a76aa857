"""How the programs of ``owl audit`` ask: their arguments, the query, a line for an event."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import click
import msgspec
import psycopg
from msgspec import Struct

from api.client.wording import clean
from api.event_tags import fits_some, nearest
from api.keys import KeysMissing, load_keys
from api.programs.failing import Unreachable, in_words
from api.programs.json_answers import print_json
from api.programs.missing_tables import in_words_of
from api.programs.options import database_of, settings_from
from domain.money import FEN_PER_YUAN
from projections.audit.entity import Entity, NoEntity
from projections.audit.snapshots import Snapshots
from projections.audit.story import Entry, moment_in

R = TypeVar("R")
Connection: TypeAlias = psycopg.AsyncConnection[Any]

CONNECT_S = 3
USERS_LISTED = "`owl admin users list` shows the ids of all"
BARE_DATE = " A bare date is 00:00 UTC."


class UserType(click.ParamType):  # type: ignore[type-arg]  # click < 8.5 has none
    """The id of a user; no e-mail address, for the log names nobody in the clear."""

    name = "user"

    def convert(self, value: Any, param: Any, ctx: Any) -> UUID:
        try:
            return UUID(str(value))
        except ValueError:
            self.fail(f"{value!r} is not the id of a user: {USERS_LISTED}", param, ctx)


class PersonType(click.ParamType):  # type: ignore[type-arg]  # click < 8.5 has none
    """The id of a user, or the e-mail address with which they log in."""

    name = "user"

    def convert(self, value: Any, param: Any, ctx: Any) -> UUID | str:
        return str(value) if "@" in str(value) else USER.convert(value, param, ctx)


class EntityType(click.ParamType):  # type: ignore[type-arg]  # click < 8.5 has none
    """``user:ID``, ``task:ID``, ``server:ID``, ``code:ID``."""

    name = "entity"

    def convert(self, value: Any, param: Any, ctx: Any) -> Entity:
        try:
            return Entity.parse(value)
        except NoEntity as error:
            users = f": {USERS_LISTED}" if value.startswith("user:") else ""
            self.fail(f"{error}{users}", param, ctx)


class MomentType(click.ParamType):  # type: ignore[type-arg]  # click < 8.5 has none
    """A position, or a time such as 2026-03-01T12:00:00Z (without a zone: UTC)."""

    name = "position|time"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | datetime:
        try:
            return moment_in(value)
        except ValueError:
            self.fail(f"{value!r} is neither a position nor a time", param, ctx)


class YuanType(click.ParamType):  # type: ignore[type-arg]  # click < 8.5 has none
    """Yuan, given in fen."""

    name = "yuan"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        try:
            fen = int(Decimal(value) * FEN_PER_YUAN)
        except (InvalidOperation, ValueError, OverflowError):
            self.fail(f"{value!r} is no amount", param, ctx)
        if fen < 0:
            self.fail(f"{value} is less than nothing: amounts go either way", param, ctx)
        return fen


class EventId(Struct, frozen=True):
    """An event by its stream and its place there."""

    stream: UUID
    version: int

    def __str__(self) -> str:
        return f"{self.stream}/{self.version}"


EventName: TypeAlias = int | EventId


class EventType(click.ParamType):  # type: ignore[type-arg]  # click < 8.5 has none
    """A position, or an event's id as the API gives it: ``STREAM/VERSION``."""

    name = "position|stream/version"

    def convert(self, value: Any, param: Any, ctx: Any) -> EventName:
        named = event_named(str(value))
        if named is None:
            self.fail(f"{value!r} is neither a position nor an event's id", param, ctx)
        return named


def event_named(text: str) -> EventName | None:
    """The event that a text names; ``None`` when it names none."""
    stream, _, version = text.rpartition("/")
    number = int(version) if version.isascii() and version.isdecimal() else 0
    try:
        return (EventId(UUID(stream), number) if stream else number) if number else None
    except ValueError:
        return None


EVENT = EventType()
ENTITY = EntityType()
USER = UserType()
PERSON = PersonType()
MOMENT = MomentType()
YUAN = YuanType()


def asked(options: dict[str, Any], read: Callable[[Connection], Awaitable[R]]) -> R:
    """Run a query; what is in the way is said in a sentence."""

    async def run() -> R:
        async with await psycopg.AsyncConnection.connect(
            database_of(settings_from(**options)),
            autocommit=True,
            connect_timeout=CONNECT_S,
            options="-c timezone=UTC -c default_transaction_read_only=on",
        ) as connection:
            return await read(connection)

    with in_words():
        try:
            return asyncio.run(run())
        except psycopg.errors.UndefinedTable as error:
            raise Unreachable(in_words_of(error)) from error


def no_type_is(pattern: str) -> str:
    """That no event can be of such a type, and which was meant; empty where some can."""
    if fits_some(pattern):
        return ""
    meant = nearest(pattern)
    return f"no type of event is {pattern}" + (f": {meant}?" if meant else "")


def nothing_found(upto: int, pattern: str | None) -> str:
    """What is said where a search of the log shows nothing."""
    told = no_type_is(pattern) if pattern is not None else ""
    return f"no event up to position {upto} matches" + (f"\n{told}" if told else "")


def snapshots_of(options: dict[str, Any]) -> Snapshots | None:
    """The states that this platform keeps; none that count where its keys are not at hand."""
    with in_words():
        settings = settings_from(**options)
        try:
            return Snapshots(load_keys(settings.secrets_path, make=False).snapshots)
        except KeysMissing:
            return None


def print_line(each: Entry, *, as_json: bool) -> None:
    """One event."""
    if as_json:
        print_json(each)
        return
    at = each.recorded_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = f"{each.position:>10}  {at}  {each.tag:<32}  {each.stream}  {each.actor}"
    click.echo(clean(line).plain)


def print_changes(changes: dict[str, tuple[Any, Any]]) -> None:
    """Fields with their values before and after."""
    for name, (before, after) in changes.items():
        click.echo(f"{'':>10}  {name}: {text_of(before)} → {text_of(after)}")


def text_of(value: Any) -> str:
    """A value on one line."""
    return clean(msgspec.json.encode(value).decode()).plain
