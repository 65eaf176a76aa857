"""``owl work``: the background loops. Run two: one leads, the other takes over in seconds."""

from __future__ import annotations

import asyncio
from typing import Any

import click
import structlog

from api.database import prepare_database
from api.keys import load_keys
from api.logging_setup import set_up_logging
from api.outdated_rows import outdated_rows
from api.programs.failing import in_words
from api.programs.long_running import run_long
from api.programs.options import servers_of, settings_from, with_servers
from api.programs.stopping import run_until, stop_event
from api.settings import Settings
from api.wiring import Core, open_core, open_loops

LOG = structlog.get_logger(__name__)


@click.command()
@with_servers
def command(**options: Any) -> None:
    """Project, relay, ingest, schedule, watch leases and meter until stopped.

    Needs OWL_DATABASE_URL, OWL_NATS_URL and the keys in OWL_SECRETS_DIR.
    """
    with in_words():
        settings = settings_from(**options)
        set_up_logging(settings, program="work")
        run_long(_work(settings))


async def _work(settings: Settings) -> None:
    database_url, nats_url = servers_of(settings)
    keys = load_keys(settings.secrets_path, make=settings.profile == "dev")
    stop = stop_event()
    if not await prepare_database(database_url, stop=stop):
        return
    for told in (await asyncio.to_thread(outdated_rows, database_url)).sentences():
        LOG.warning("read_model.of_another_version", told=told)
    async with open_core(
        settings, keys, database_url=database_url, nats_url=nats_url, name="owl work"
    ) as core:
        await work(core, stop)


async def work(core: Core, stop: asyncio.Event) -> None:
    """Run the loops until ``stop``."""
    await run_until(stop, *(loop.run() for loop in open_loops(core)))
