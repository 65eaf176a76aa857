"""``owl gpu``: the farm of GPU servers."""

from __future__ import annotations

import asyncio
import shlex
from datetime import UTC, datetime

import click
import msgspec
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from api.client.farm import ask_farm, farm_view
from api.client.http import ApiUnreachable
from api.client.wording import clean, line
from api.programs.asking import Terminal, asks_the_api

_UNANSWERED_MAX = 30
"""Rounds without an answer before the table is given up."""


@click.group()
def command() -> None:
    """The farm's GPU servers."""


@command.command()
@click.option("--once", is_flag=True, help="Print it once; so it is anyway outside a terminal.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.5, 60),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
)
@asks_the_api
async def top(terminal: Terminal, every_s: float, *, once: bool) -> None:
    """Show servers and GPUs, again and again until Ctrl-C."""
    if once or terminal.as_json or not terminal.console.is_terminal:
        async with terminal.client() as client:
            farm = await ask_farm(client)
        terminal.answer(msgspec.to_builtins(farm), farm_view(farm, now=datetime.now(UTC)))
        return
    await _live(terminal, every_s)


async def _live(terminal: Terminal, every_s: float) -> None:
    view: RenderableType = Text("asking …", "dim")
    unanswered = 0
    async with terminal.client() as client:
        with Live(view, console=terminal.console, auto_refresh=False) as live:
            while unanswered < _UNANSWERED_MAX:
                try:
                    farm = await ask_farm(client)
                except ApiUnreachable as error:
                    unanswered += 1
                    shown: RenderableType = Group(view, clean(str(error), "red"))
                else:
                    unanswered = 0
                    shown = view = farm_view(farm, now=datetime.now(UTC))
                live.update(shown, refresh=True)
                await asyncio.sleep(every_s)
    raise ApiUnreachable(f"the API at {terminal.api_url} has not answered for a while")


@command.command()
@click.argument("name")
@click.option(
    "--slots",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="How many tasks it may run at once.",
)
@asks_the_api
async def enroll(terminal: Terminal, name: str, slots: int) -> None:
    r"""Let a GPU server in, for administrators: prints what to run on it, once, within 1 h.

    \b
      owl gpu enroll gpu-01 --slots 2
    """
    async with terminal.client() as client:
        data = await client.post("/gpu/servers", {"name": name, "max_concurrent_tasks": slots})
    # in the environment: an argument could be read by everybody on that machine
    start = f"OWL_AGENT_TOKEN={shlex.quote(data['enrolment_token'])} owl-agent run"
    terminal.answer(
        data,
        Group(
            clean(f"{name} may enrol. On it, run:", "dim"),
            line(f"{start} --api-url {shlex.quote(terminal.api_url)}"),
        ),
    )
