"""``owl serve``: the HTTP API, one process. Run as many as you like behind a balancer."""

from __future__ import annotations

import asyncio
from typing import Any

import click
import structlog

from api.app import create_app
from api.database import prepare_database
from api.keys import load_keys
from api.logging_setup import set_up_logging
from api.platform import Platform
from api.programs.failing import ProgramFailed, in_words
from api.programs.http_server import HttpServer, listen
from api.programs.long_running import run_long
from api.programs.options import servers_of, settings_from, with_servers
from api.programs.stopping import run_until, stop_event
from api.registration import ensure_dev_admin
from api.settings import Settings
from api.wiring import (
    Core,
    open_core,
    open_platform,
    without_credentials,
)

LOG = structlog.get_logger(__name__)


@click.command()
@with_servers
@click.option("--host", help="Where to listen, instead of OWL_HOST (127.0.0.1).")
@click.option("--port", type=int, help="The port, instead of OWL_PORT (8000); 0: a free one.")
def command(**options: Any) -> None:
    """Answer the REST API until stopped.

    Needs OWL_DATABASE_URL, OWL_NATS_URL and the keys in OWL_SECRETS_DIR. The broker may be
    away: then tasks wait. While the database is away every answer is 503.
    """
    with in_words():
        settings = settings_from(**options)
        set_up_logging(settings, program="serve")
        run_long(_serve(settings))


async def _serve(settings: Settings) -> None:
    database_url, nats_url = servers_of(settings)
    keys = load_keys(settings.secrets_path, make=settings.profile == "dev")
    stop = stop_event()
    try:
        listener = await asyncio.to_thread(listen, settings.host, settings.port)
    except OSError as error:
        raise ProgramFailed(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror};"
            " choose another --port, or 0 for a free one"
        ) from error
    if not await prepare_database(database_url, stop=stop):
        return
    agent_nats_url = settings.public_nats_url or without_credentials(nats_url)
    async with (
        open_core(
            settings, keys, database_url=database_url, nats_url=nats_url, name="owl serve"
        ) as core,
        open_platform(core, agent_nats_url=agent_nats_url) as platform,
    ):
        await serve(core, platform, listener, stop)


async def serve(core: Core, platform: Platform, listener: Any, stop: asyncio.Event) -> None:
    """Answer on ``listener`` until ``stop``; what is being answered then is finished."""
    if core.settings.profile == "dev":
        await ensure_dev_admin(platform)
    server = HttpServer(create_app(platform), core.settings.proxies)
    host, port = listener.getsockname()[:2]
    LOG.info("api.listens", host=host, port=port)
    answering = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        await run_until(stop, _ended(answering))
    finally:
        server.should_exit = True
        await answering


async def _ended(answering: asyncio.Future[None]) -> None:
    await asyncio.shield(answering)
