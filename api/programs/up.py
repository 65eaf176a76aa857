"""``owl up``: the whole platform on one machine, and one real analysis to see it work.

PostgreSQL, NATS and the agent are children; API and loops run here. All of it ends with us.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
from msgspec import Struct
from rich.console import Console

from api.client.screen import console
from api.database import prepare_database
from api.demo.main_job import Credentials, MainJobOutcome, run_main_job
from api.embedded.nats import NatsAuth
from api.embedded.stack import EmbeddedStack, NatsOptions, PostgresOptions, StackConfig, own
from api.embedded.watch import Incident
from api.keys import Keys, load_keys
from api.logging_setup import set_up_logging
from api.outdated_rows import OutdatedRows, outdated_rows
from api.programs.failing import ProgramFailed, in_words
from api.programs.http_server import listen
from api.programs.local_agent import AgentNotOnline, AgentPlan, LocalAgent
from api.programs.long_running import run_long
from api.programs.serve import serve
from api.programs.stopping import stop_event
from api.programs.work import work
from api.registration import DEV_ADMIN_EMAIL, DEV_ADMIN_PASSWORD, operator_token
from api.settings import Settings, load
from api.wiring import open_core, open_platform, without_credentials

CLIP = Path(__file__).parents[1] / "demo" / "media" / "bigbuckbunny.mp4"
DEMO = Credentials(email="demo@example.com", password="demo-password")  # noqa: S106 - shown to everybody


class Wanted(Struct, frozen=True, kw_only=True):
    """What the command line asked for."""

    once: bool
    demo: bool
    media_dirs: tuple[Path, ...]
    simulated_gpus: int


@click.command()
@click.option("--once", is_flag=True, help="End after the analysis: exit code 0 if it worked.")
@click.option("--no-demo", is_flag=True, help="Only start the platform.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Where all data lies (default .owl)."
)
@click.option("--host", help="Where the API listens (default 127.0.0.1).")
@click.option("--port", type=int, help="Its port (default 8000, or a free one if taken).")
@click.option(
    "--media-dir",
    "media_dirs",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A directory whose videos tasks may name as file:///… (may be repeated).",
)
@click.option(
    "--simulate-gpus",
    "simulated_gpus",
    type=click.IntRange(0, 64),
    default=0,
    help="Show so many simulated GPUs, labelled as such wherever they are seen.",
)
def command(
    once: bool,  # noqa: FBT001
    no_demo: bool,  # noqa: FBT001
    data_dir: Path | None,
    host: str | None,
    port: int | None,
    media_dirs: tuple[Path, ...],
    simulated_gpus: int,
) -> None:
    """Start PostgreSQL, NATS, API, loops and an agent here, then analyse one real video.

    Data survives in the data directory. OWL_DATABASE_URL and OWL_NATS_URL put real servers in
    the place of the embedded ones. Ctrl-C stops everything.
    """
    wanted = Wanted(
        once=once,
        demo=once or not no_demo,
        media_dirs=media_dirs,
        simulated_gpus=simulated_gpus,
    )
    page = console()
    with in_words():
        settings = load(
            profile="dev",
            data_dir=None if data_dir is None else str(data_dir),
            host=host,
            port=port,
        )
        directory = Path(settings.data_dir).resolve()
        own(directory).close()  # a second `up` is told so before it takes a port or writes
        for private in ("logs", "results", "artifacts"):
            # what tasks made and did is no business of the machine's other users
            (directory / private).mkdir(parents=True, exist_ok=True, mode=0o700)
        set_up_logging(settings, program="up", path=directory / "logs" / "owl.log")
        listener = _listener(settings, page, asked=port is not None)
        keys = load_keys(settings.secrets_path, make=True)
        with ExitStack() as opened:
            with _step(page, "PostgreSQL and NATS"):
                config = _stack_config(settings, keys, directory)
                stack = opened.enter_context(EmbeddedStack(config))
            up = _Up(settings, keys, stack, listener, wanted, page, directory)
            code = run_long(up.run())
    raise SystemExit(code)


class _Up:
    """One run of the platform."""

    def __init__(
        self,
        settings: Settings,
        keys: Keys,
        stack: EmbeddedStack,
        listener: socket.socket,
        wanted: Wanted,
        page: Console,
        directory: Path,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._stack = stack
        self._listener = listener
        self._wanted = wanted
        self._console = page
        self._directory = directory
        self._outdated = OutdatedRows()
        host, port = listener.getsockname()[:2]
        self._api_url = f"http://{'localhost' if host == '127.0.0.1' else host}:{port}/api"

    async def run(self) -> int:
        """Everything, until Ctrl-C, a failure, or the end of the analysis with ``--once``."""
        settings = self._settings
        asked, stop = stop_event(), asyncio.Event()
        database_url = settings.database_url or self._stack.database_url
        nats_url = settings.nats_url or self._stack.nats_url
        with _step(self._console, "database"):
            if not await prepare_database(database_url, stop=asked, tell=self._say):
                return 0
        self._outdated = await asyncio.to_thread(outdated_rows, database_url)
        for told in self._outdated.sentences():
            self._say(told)
        async with AsyncExitStack() as opened:
            core = await opened.enter_async_context(
                open_core(
                    settings,
                    self._keys,
                    database_url=database_url,
                    nats_url=nats_url,
                    name="owl up",
                )
            )
            told = settings.public_nats_url or without_credentials(nats_url)
            opening = open_platform(core, agent_nats_url=told)
            platform = await opened.enter_async_context(opening)
            agent = LocalAgent(self._agent_plan(), partial(operator_token, platform))
            works = [
                asyncio.create_task(serve(core, platform, self._listener, stop)),
                asyncio.create_task(work(core, stop)),
                asyncio.create_task(self._stack.watch(self._tell)),
            ]
            try:
                return await self._use(works, asked, agent)
            finally:
                stop.set()
                await asyncio.gather(*works[:2], return_exceptions=True)
                works[2].cancel()

    async def _use(
        self, works: list[asyncio.Task[None]], asked: asyncio.Event, agent: LocalAgent
    ) -> int:
        """Enrol an agent, show the main job, stay until somebody asks to stop.

        The agent goes first, while there is a platform to hear how its tasks ended.
        """
        main = asyncio.create_task(self._main(agent))
        asking = asyncio.create_task(asked.wait())
        try:
            ending: list[asyncio.Task[Any]] = [*works, main, asking]
            await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
            if asked.is_set():
                self._say(await agent.last_words())
        finally:
            main.cancel()
            asking.cancel()
            await asyncio.gather(main, asking, return_exceptions=True)
        for each in works:
            if each.done():
                each.result()
                raise ProgramFailed(f"a part ended by itself: see {self._directory}/logs")
        return main.result() if not main.cancelled() else 0

    def _agent_plan(self) -> AgentPlan:
        return AgentPlan(
            api_url=self._api_url,
            directory=self._directory / "agent",
            media_dirs=(CLIP.parent, *self._wanted.media_dirs),
            simulated_gpus=self._wanted.simulated_gpus,
        )

    async def _main(self, agent: LocalAgent) -> int:
        with _step(self._console, f"API at {self._api_url}"):
            await agent.enrol()
        running = asyncio.ensure_future(agent.run(self._say))
        try:
            with _step(self._console, "agent"):
                await agent.online()
            if self._wanted.demo and not self._outdated.left_alone:
                await agent.current()
                outcome = await self._show(agent)
                if self._wanted.once:
                    return outcome.exit_code
            elif self._wanted.once:
                raise ProgramFailed("nothing is analysed before that is done")
            self._say_where()
            await asyncio.Event().wait()
        except AgentNotOnline as error:
            raise ProgramFailed(str(error)) from error
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        return 0

    async def _show(self, agent: LocalAgent) -> MainJobOutcome:
        return await run_main_job(
            self._api_url,
            media_file=CLIP,
            results_dir=self._directory / "results",
            console=self._console,
            operator=await agent.operator(),
            demo=DEMO,
            stays=not self._wanted.once,
        )

    def _say_where(self) -> None:
        self._console.print(f"\nAPI      {self._api_url}   (docs at /docs)")
        self._console.print(f"admin    {DEV_ADMIN_EMAIL} / {DEV_ADMIN_PASSWORD} until changed")
        self._console.print(f"data     {self._directory}")
        self._console.print("Ctrl-C stops everything.", style="dim")

    def _say(self, text: str) -> None:
        self._console.print(text, style="yellow", highlight=False)

    def _tell(self, incident: Incident) -> None:
        self._say(f"{incident.server}: {incident.happened} {incident.detail}".rstrip())


def _listener(settings: Settings, page: Console, *, asked: bool) -> socket.socket:
    """The API's socket; a free port when the usual one is taken and none was asked for."""
    try:
        return listen(settings.host, settings.port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or asked:
            raise ProgramFailed(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror};"
                " choose another --port"
            ) from error
        listener = listen(settings.host, 0)
        page.print(
            f"port {settings.port} is taken; the API gets {listener.getsockname()[1]}",
            style="yellow",
        )
        return listener


def _stack_config(settings: Settings, keys: Keys, directory: Path) -> StackConfig:
    auth = NatsAuth(
        platform_password=keys.broker_password,
        callout_issuer_public_key=keys.issuer_public_key,
    )
    return StackConfig(
        data_dir=directory,
        postgres=None if settings.database_url else PostgresOptions(),
        nats=None if settings.nats_url else NatsOptions(auth=auth),
    )


@contextmanager
def _step(page: Console, name: str) -> Iterator[None]:
    """Show that something is being done, then how long it took."""
    began = time.monotonic()
    with page.status(f"{name} …"):
        yield
    page.print(f"[green]✓[/] {name} [dim]{time.monotonic() - began:.1f} s[/]")
