"""``owl-agent doctor``: what this host has, and what stands in the way, one line each.

It changes nothing and runs beside an agent; everything that it asks of others has a deadline.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, Literal

import click
import httpx
import msgspec
import nats
from click.core import ParameterSource
from msgspec import Struct
from nats.errors import Error as NatsError

from gpu_agent.enrolment import IDENTITY_FILE, Identity, NotEnrolled, load_identity
from gpu_agent.executors import load_executors
from gpu_agent.options import api_option, media_option, state_option
from gpu_agent.sandbox import find_bubblewrap
from gpu_agent.telemetry.nvml import NvmlSampler

ANSWER_S: Final = 5
CLOCK_OFF_MAX_S: Final = 30
"""A sign-in at the broker is good for a minute by the platform's clock."""
DISK_FREE_MIN_GIB: Final = 2
ENROL: Final = (
    "an administrator runs `owl gpu enroll NAME`; then here `owl-agent enroll --api-url URL`"
    " with the token that it prints in OWL_AGENT_TOKEN"
)

Verdict = Literal["ok", "note", "bad"]
_MARKS: Final[dict[Verdict, str]] = {"ok": "✓", "note": "·", "bad": "✗"}


class Finding(Struct, frozen=True):
    """One thing that was looked at. With one that is ``bad`` the agent cannot work."""

    about: str
    verdict: Verdict
    says: str


@click.command()
@state_option
@api_option
@media_option
@click.option(
    "--nats-url",
    "nats_urls",
    multiple=True,
    envvar="OWL_AGENT_NATS_URL",
    help="Instead of what the platform said at enrolment.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="OWL_DATA_DIR",
    default=".owl",
    show_default=True,
    help="Of an `owl up` on this host. [OWL_DATA_DIR]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(
    state_dir: Path,
    data_dir: Path,
    api_url: str | None,
    media: tuple[Path, ...],
    nats_urls: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Say what is missing on this host; exit code 1 when the agent cannot work.

    Where `owl up` runs its own agent, and no other is enrolled, it is that one.
    """
    given = click.get_current_context().get_parameter_source("state_dir")
    theirs = _of_up(state_dir, data_dir) if given is ParameterSource.DEFAULT else None
    state_dir = theirs or state_dir
    identity, known = _identity(state_dir)
    if theirs is not None:
        known = Finding(
            known.about,
            known.verdict,
            f"{known.says}, the agent of the `owl up` here ({theirs})",
        )
    findings = [
        known,
        _api(api_url, needed=identity is None),
        _broker(identity, nats_urls, of_up=theirs is not None),
        _state(state_dir),
        _gpus(),
        _executors(),
        _sandbox(),
        _media(media, of_up=theirs is not None),
    ]
    if as_json:
        click.echo(msgspec.json.encode(findings).decode())
    else:
        for found in findings:
            click.echo(f"{_MARKS[found.verdict]} {found.about}: {found.says}")
    if any(found.verdict == "bad" for found in findings):
        raise click.ClickException("something is missing: see the lines marked ✗")


def _of_up(state: Path, data_dir: Path) -> Path | None:
    """The state of the agent that `owl up` runs here, where there is no agent in ``state``."""
    theirs = data_dir.absolute() / "agent"
    is_theirs = (theirs / IDENTITY_FILE).exists() and not (state / IDENTITY_FILE).exists()
    return theirs if is_theirs else None


def _identity(state: Path) -> tuple[Identity | None, Finding]:
    try:
        identity = load_identity(state)
    except NotEnrolled as error:
        return None, Finding("identity", "bad", f"{error}: {ENROL}")
    return identity, Finding("identity", "ok", f"{identity.name} ({identity.server_id})")


def _api(api_url: str | None, *, needed: bool) -> Finding:
    if not api_url:
        says = "no --api-url (or OWL_API_URL) given"
        return Finding("platform", "bad" if needed else "note", f"{says}: not asked")
    verdict: Verdict = "bad" if needed else "note"
    address = api_url.rstrip("/").removesuffix("/api") + "/health/live"
    try:
        answer = httpx.get(address, timeout=ANSWER_S)
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Finding("platform", verdict, f"{api_url}: {str(error) or repr(error)}")
    off_s = _clock_off_s(answer.headers.get("Date"))
    if off_s > CLOCK_OFF_MAX_S:
        says = f"clocks are {off_s:.0f} s apart: set this host's, or no sign-in is taken"
        return Finding("platform", "bad", says)
    return Finding("platform", "ok", api_url)


def _clock_off_s(date: str | None) -> float:
    """How far the platform's clock is from ours; 0 when it does not say."""
    try:
        return abs(parsedate_to_datetime(date or "").timestamp() - time.time())
    except ValueError:
        return 0.0


def _broker(identity: Identity | None, nats_urls: tuple[str, ...], *, of_up: bool) -> Finding:
    urls = nats_urls or (identity.nats_urls if identity else ())
    if identity is None:
        return Finding("broker", "note", "not asked: an agent signs in with its identity")
    if not urls:
        return Finding("broker", "bad", "the platform named none: give --nats-url")
    shown = ", ".join(url.rpartition("@")[2] for url in urls)
    try:
        asyncio.run(_sign_in(identity, urls))
    except (NatsError, OSError, TimeoutError) as error:
        check = (
            "it runs while `owl up` does"
            if of_up
            else "is it the right address, does a firewall stand between, or was this server"
            " removed?"
        )
        says = f"{shown}: {str(error) or 'no answer in time'}; {check}"
        return Finding("broker", "bad", says)
    return Finding("broker", "ok", shown)


async def _sign_in(identity: Identity, urls: tuple[str, ...]) -> None:
    failures: list[Exception] = []

    async def note(error: Exception) -> None:
        failures.append(error)

    token = None if any("@" in url for url in urls) else identity.token(time.time())
    async with asyncio.timeout(ANSWER_S * 2):
        try:
            client = await nats.connect(
                list(urls),
                token=token,
                inbox_prefix=f"_INBOX_{identity.server_id}",
                connect_timeout=ANSWER_S,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # who refuses is asked once more, and is then named
                reconnect_time_wait=0.2,
                error_cb=note,
            )
        except NatsError:
            if failures:
                raise failures[-1] from None
            raise
        await client.close()


def _state(state: Path) -> Finding:
    place = state.absolute()
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        return Finding("state", "bad", f"{place} cannot be written: choose another --state-dir")
    free_gib = shutil.disk_usage(place).free / 2**30
    verdict: Verdict = "ok" if free_gib >= DISK_FREE_MIN_GIB else "bad"
    return Finding("state", verdict, f"{free_gib:.1f} GiB free at {place}")


def _gpus() -> Finding:
    sampler = NvmlSampler()
    try:
        report = sampler.sample()
    finally:
        sampler.close()
    if not report.gpus:
        why = report.fault or "none found"
        return Finding("GPUs", "note", f"{why}: tasks will run on the CPU")
    sick = [f"{gpu.index}: {gpu.fault}" for gpu in report.gpus if not gpu.healthy]
    if sick:
        return Finding("GPUs", "bad", f"no work will be placed on {'; '.join(sick)}")
    return Finding("GPUs", "ok", ", ".join(gpu.name for gpu in report.gpus))


def _executors() -> Finding:
    executors, refused = load_executors()
    says = ", ".join(sorted(executors)) or "none: no task can run here"
    says += "".join(f"; not loaded: {name}: {why}" for name, why in refused.items())
    verdict: Verdict = "bad" if not executors else "note" if refused else "ok"
    return Finding("executors", verdict, says)


def _sandbox() -> Finding:
    if find_bubblewrap() is None:
        says = "no bubblewrap that works here: tasks are only limited, not walled in"
        return Finding("sandbox", "note", says)
    return Finding("sandbox", "ok", "bubblewrap")


def _media(media: tuple[Path, ...], *, of_up: bool) -> Finding:
    if not media and of_up:
        return Finding("media", "ok", "those that `owl up` was started with")
    if not media:
        says = "no --media-dir: tasks that name a file: go to other servers"
        return Finding("media", "note", says)
    unreadable = [str(directory) for directory in media if not os.access(directory, os.R_OK)]
    if unreadable:
        return Finding("media", "bad", f"cannot be read: {', '.join(unreadable)}")
    return Finding("media", "ok", ", ".join(map(str, media)))
