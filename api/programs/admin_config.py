"""``owl admin config``: what administrators change while everything runs."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final, get_type_hints

import click
import msgspec
from msgspec import Meta
from rich.console import RenderableType
from rich.table import Table

from api.client.wording import clean
from api.configuration_shapes import KEYS, ConfigurationItem
from api.programs.asking import Terminal, asks_the_api

PRICES: Final = "prices_per_minute"
_PATH: Final = "/admin/config"
_ALL: Final = frozenset(KEYS)


@click.group()
def config() -> None:
    """The platform's configuration: limits, prices, deadlines, maintenance."""


@config.command()
@asks_the_api
async def show(terminal: Terminal) -> None:
    """Show every key: how it is, and what it means."""
    async with terminal.client() as client:
        data = await client.get(_PATH)
    terminal.answer(data, configuration_view(data, _ALL))


@config.command(name="set")
@click.argument("changes", metavar="KEY=VALUE", nargs=-1, required=True)
@asks_the_api
async def set_keys(terminal: Terminal, changes: tuple[str, ...]) -> None:
    r"""Change keys: all that are given, or none. A value is JSON.

    \b
      owl admin config set maintenance_mode=true
      owl admin config set prices_per_minute.test=0.50 max_concurrent_tasks_per_user=10
      owl admin config set prices_per_minute.test=null      that type is taken no more
    """
    body = body_of(changes)
    async with terminal.client() as client:
        data = await client.call("PUT", _PATH, json=body)
    terminal.answer(data, configuration_view(data, frozenset(body)))


def body_of(changes: tuple[str, ...]) -> dict[str, Any]:
    """``key=value`` and ``prices_per_minute.type=value`` as a request.

    Raises:
        BadParameter: one is no such pair, of no key that there is, or of one given before.
    """
    body: dict[str, Any] = {}
    given: set[str] = set()
    for change in changes:
        name, equals, value = change.partition("=")
        key, dot, kind = name.partition(".")
        if not equals or bool(dot) != bool(kind) or (dot and key != PRICES):
            raise click.BadParameter(
                f"{change!r} is not KEY=VALUE, such as requeue_budget=3 or {PRICES}.test=0.5"
            )
        if key not in KEYS:
            meant = "".join(f": {like}?" for like in get_close_matches(key, KEYS, n=1))
            raise click.BadParameter(f"there is no {key}{meant}; `owl admin config show`")
        if key in given or name in given or (not kind and key in body):
            raise click.BadParameter(f"{key} is given twice: once is enough")
        given.add(name)
        (body.setdefault(key, {}) if kind else body)[kind or key] = _value_of(value)
    return body


def configuration_view(data: dict[str, Any], keys: frozenset[str]) -> RenderableType:
    """These keys: what they are set to, and what they mean."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    for key in KEYS:
        if key in keys and key in data:
            for name, value, meaning in _rows(key, data[key]):
                table.add_row(clean(name), clean(value), clean(meaning))
    return table


def _rows(key: str, value: Any) -> Iterator[tuple[str, str, str]]:
    meaning = _MEANINGS[key]
    if key != PRICES:
        yield key, str(value).lower(), meaning
        return
    for kind, price in value.items():
        yield f"{key}.{kind}", f"¥{price:,.2f}", meaning
        meaning = ""


def _value_of(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _meanings() -> Iterator[tuple[str, str]]:
    hints = get_type_hints(ConfigurationItem, include_extras=True)
    for key, hint in hints.items():
        meta = next(part for part in hint.__metadata__ if isinstance(part, Meta))
        yield key, meta.description or ""


_MEANINGS: Final = dict(_meanings())
