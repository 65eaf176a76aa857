"""The command line of a GPU host: ``owl-agent run | enroll | probe | doctor``.

Settings come from options or their environment variables; the enrolment token only from the
environment or a file, since a command line can be read by everybody on the machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import click
import msgspec

from gpu_agent.agent import Agent, World
from gpu_agent.doctor import doctor
from gpu_agent.enrolment import (
    EnrolmentRefused,
    Identity,
    NotEnrolled,
    enrol,
    load_identity,
)
from gpu_agent.executors import load_executors
from gpu_agent.findings import told
from gpu_agent.log_tail import LogTail
from gpu_agent.logging_setup import set_up_logging
from gpu_agent.options import (
    VARIABLES,
    api_option,
    media_option,
    state_option,
    unknown_variables,
)
from gpu_agent.ownership import StateInUse, owned
from gpu_agent.sandbox import find_bubblewrap
from gpu_agent.settings import Settings
from gpu_agent.telemetry.host import HostSampler
from gpu_agent.telemetry.nvml import NvmlSampler
from gpu_agent.telemetry.readings import GpuSampler
from gpu_agent.telemetry.simulated import SimulatedSampler

TOKEN_VARIABLE: Final = "OWL_AGENT_TOKEN"  # noqa: S105 - a name
TOKEN_FILE_VARIABLE: Final = "OWL_AGENT_TOKEN_FILE"  # noqa: S105 - a name
ENROL_TRIES: Final = 5
ENROL_PAUSE_S: Final = 1.0
LAST_RESORT_S: Final = 60.0
"""More than every bounded wait of a stop together, after the tasks had their time."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="owl-factory", prog_name="owl-agent")
@click.pass_context
def main(context: click.Context) -> None:
    """The Owl Factory agent: lends this host's GPUs to the platform."""
    # taken out: whatever is started from here would inherit it
    context.obj = os.environ.pop(TOKEN_VARIABLE, None)
    for name in unknown_variables(os.environ):
        raise click.UsageError(
            f"unknown setting {name}; an agent's are {', '.join(sorted(VARIABLES))}"
        )


@main.command()
@state_option
@api_option
@click.option(
    "--nats-url",
    "nats_urls",
    multiple=True,
    envvar="OWL_AGENT_NATS_URL",
    help="Instead of what the platform said at enrolment.",
)
@media_option
@click.option(
    "--allow-http",
    is_flag=True,
    envvar="OWL_AGENT_ALLOW_HTTP",
    help="Fetch http: addresses too, not only https:.",
)
@click.option(
    "--allow-network",
    "networks",
    multiple=True,
    envvar="OWL_AGENT_ALLOW_NETWORK",
    help="A private network that tasks may fetch from, such as 10.1.0.0/16.",
)
@click.option(
    "--simulate-gpus",
    type=click.IntRange(0, 64),
    default=0,
    help="Pretend to have GPUs, for demonstrations; labelled as simulated.",
)
@click.option("--no-sandbox", is_flag=True, help="Run tasks without bubblewrap.")
@click.option(
    "--task-memory-mib",
    type=click.IntRange(min=256),
    envvar="OWL_AGENT_TASK_MEMORY_MIB",
    help="Address space of one task; leave unset where tasks use CUDA.",
)
@click.option(
    "--shutdown-s",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="How long running tasks may go on when the agent is asked to stop.",
)
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "text"]),
    default="auto",
    envvar="OWL_LOG_FORMAT",
    show_default=True,
)
@click.pass_obj
def run(given: str | None, /, state_dir: Path, api_url: str | None, **options: Any) -> None:
    """Run the agent until SIGTERM or Ctrl-C; a second one ends running tasks at once.

    A host without an identity is enrolled first, with the token in OWL_AGENT_TOKEN or in the
    file that OWL_AGENT_TOKEN_FILE names.
    """
    tail = LogTail()
    set_up_logging(options.pop("log_format"), tail)
    settings = _settings(state_dir, **options)
    identity = _known_or_enrolled(state_dir, api_url, given)
    if not settings.nats_urls and not identity.nats_urls:
        raise click.ClickException("the platform named no broker: give --nats-url")
    try:
        with owned(state_dir):
            asyncio.run(_live(identity, settings, tail))
    except StateInUse as error:
        raise click.ClickException(str(error)) from error


@main.command()
@state_option
@api_option
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
@click.pass_obj
def enroll(given: str | None, state_dir: Path, api_url: str | None, *, as_json: bool) -> None:
    """Spend an enrolment token, and keep this host's identity.

    The token: OWL_AGENT_TOKEN, the file that OWL_AGENT_TOKEN_FILE names, or a prompt.
    """
    token = _token(given) or click.prompt("Enrolment token", hide_input=True)
    identity = _enrol(_required(api_url), token, state_dir)
    known = {
        "server_id": str(identity.server_id),
        "name": identity.name,
        "public_key": identity.public_key,
        "nats_urls": list(identity.nats_urls),
    }
    click.echo(json.dumps(known) if as_json else f"enrolled as {identity.name}: owl-agent run")


@main.command()
@state_option
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def probe(state_dir: Path, *, as_json: bool) -> None:
    """Show what the agent sees of this host: GPUs, executors, sandbox."""
    sampler = NvmlSampler()
    try:
        report = sampler.sample()
    finally:
        sampler.close()
    executors, refused = load_executors()
    seen = {
        "gpus": msgspec.to_builtins(report),
        "host": msgspec.to_builtins(HostSampler(state_dir.parent).sample()),
        "task_types": sorted(executors),
        "refused": refused,
        "sandbox": "none" if find_bubblewrap() is None else "bubblewrap",
    }
    click.echo(json.dumps(seen, ensure_ascii=False) if as_json else told(report, seen))


main.add_command(doctor)
for _command in main.commands.values():
    _command.short_help = (_command.help or "").partition(".")[0].partition(";")[0]
    _command.epilog = "Exit codes: 0 done and well, 1 it failed and says why, 2 called wrongly."


async def _live(identity: Identity, settings: Settings, tail: LogTail) -> None:
    world = World(
        clock=lambda: datetime.now(UTC),
        monotonic=time.monotonic,
        ids=uuid4,
        gpus=_sampler(settings.simulate_gpus),
    )
    agent = Agent(identity, settings, world, version=_version(), tail=tail)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        # The kernel's own, which needs nothing of us: what we run dies with us.
        if not any(signal.getitimer(signal.ITIMER_REAL)):
            signal.setitimer(signal.ITIMER_REAL, settings.shutdown_s + LAST_RESORT_S)
        agent.stop()

    for asked in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(asked, stop)
    await agent.run()


def _sampler(simulated: int) -> GpuSampler:
    return SimulatedSampler(simulated, time.monotonic) if simulated else NvmlSampler()


def _settings(
    state: Path,
    *,
    nats_urls: tuple[str, ...],
    media: tuple[Path, ...],
    networks: tuple[str, ...],
    no_sandbox: bool,
    task_memory_mib: int | None,
    **same_names: Any,
) -> Settings:
    try:
        allowed = tuple(ip_network(text) for text in networks)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--allow-network") from error
    return Settings(
        state=state.absolute(),
        nats_urls=nats_urls,
        media=tuple(directory.absolute() for directory in media),
        allow_networks=allowed,
        sandbox=not no_sandbox,
        memory_mib=task_memory_mib,
        **same_names,
    )


def _known_or_enrolled(state: Path, api_url: str | None, given: str | None) -> Identity:
    try:
        return load_identity(state)
    except NotEnrolled as unknown:
        token = _token(given)
        if token is None:
            raise click.ClickException(f"{unknown}, or set {TOKEN_VARIABLE}") from unknown
        return _enrol(_required(api_url), token, state)


def _enrol(api_url: str, token: str, state: Path) -> Identity:
    for tries_left in reversed(range(ENROL_TRIES)):
        try:
            return enrol(api_url, token, state, randomness=secrets.token_bytes(32))
        except EnrolmentRefused as refused:
            if tries_left == 0 or not refused.may_pass:
                raise click.ClickException(str(refused)) from refused
        time.sleep(ENROL_PAUSE_S)
    raise AssertionError


def _required(api_url: str | None) -> str:
    if not api_url:
        raise click.UsageError("--api-url (or OWL_API_URL) says where the platform is")
    return api_url


def _token(given: str | None) -> str | None:
    """The token in the file that the environment names, else the one that was given there."""
    file = os.environ.get(TOKEN_FILE_VARIABLE)
    if file:
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise click.ClickException(f"{TOKEN_FILE_VARIABLE}: {error}") from error
    return given or None


def _version() -> str:
    try:
        return version("owl-factory")
    except PackageNotFoundError:
        return "unknown"


if __name__ == "__main__":
    main()
