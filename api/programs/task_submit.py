"""``owl tasks submit``: order work, and stay to see it done."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
import msgspec

from api.client.answers import Me, Task, read
from api.client.farm import server_name
from api.client.http import ApiClient
from api.client.show import Bill, task_view
from api.client.watch import watch as watch_task
from api.client.wording import line
from api.programs.asking import Terminal, asks_the_api
from api.programs.local_farm import LocalFarm, farm_here
from api.settings import is_loopback

VIDEO_ANALYSIS: Final = "video_analysis"


@click.command()
@click.argument("task_type", metavar="TYPE")
@click.option("--title", help="By default the type.")
@click.option("--description", default="")
@click.option("--priority", type=click.IntRange(1, 5), default=1, show_default=True)
@click.option(
    "--estimate",
    type=click.IntRange(1, 1440),
    metavar="MINUTES",
    help="How long you think it runs. The price of so long (without it, of 10 minutes unless"
    " an administrator says otherwise) is held; what is unused comes back. It never ends the"
    " task.",
)
@click.option(
    "--config",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the type, any number of times; a value is JSON, or else text.",
)
@click.option("--video-url", help="Short for --config video_url=…")
@click.option(
    "--file",
    "video_file",
    type=click.Path(path_type=Path),
    help="A video in the media directory of the farm; short for --video-url file:///…",
)
@click.option("--watch", is_flag=True, help="Follow it until it has ended.")
@asks_the_api
async def submit(
    terminal: Terminal,
    task_type: str,
    title: str | None,
    description: str,
    priority: int,
    estimate: int | None,
    settings: tuple[str, ...],
    video_url: str | None,
    video_file: Path | None,
    *,
    watch: bool,
) -> int | None:
    r"""Submit a task of TYPE, such as video_analysis or test.

    \b
      owl tasks submit test --config seconds=5 --watch
      owl tasks submit video_analysis --video-url https://example.com/a.mp4

    Exit codes: 0 taken (with --watch: completed), 1 refused (or it did not complete), 2 called
    wrongly, 3 out of reach, 130 after Ctrl-C, which leaves the task running.
    """
    config = config_of(settings)
    if video_file is not None:
        config["video_url"] = address_of(video_file, terminal.api_url, farm_here())
    elif video_url:
        config["video_url"] = video_url
    if task_type == VIDEO_ANALYSIS and not config.get("video_url"):
        raise click.UsageError(f"{VIDEO_ANALYSIS} needs a video: give --file or --video-url")
    order: dict[str, Any] = {
        "title": title or task_type,
        "task_type": task_type,
        "description": description,
        "priority": priority,
        "config": config,
    }
    if estimate is not None:
        order["estimated_duration"] = estimate
    async with terminal.client() as client:
        if watch:
            return await _submit_and_watch(terminal, client, order)
        data = await client.post("/tasks", order)
    hint = f"`owl tasks show {data['id']} --watch` follows it"
    terminal.answer(data, line(f"{data['id']} is {data['status']}; {hint}"))
    return None


async def _submit_and_watch(
    terminal: Terminal, client: ApiClient, order: dict[str, Any]
) -> int:
    before = read(Me, await client.get("/users/me")).balance
    task_id = str((await client.post("/tasks", order))["id"])
    terminal.note(f"{task_id}: Ctrl-C leaves it running")
    await watch_task(client, task_id, terminal.progress())
    data = await client.get(f"/tasks/{task_id}")
    after = read(Me, await client.get("/users/me")).balance
    task = read(Task, data)
    server = await server_name(client, task.gpu_server_id)
    bill = Bill(before=before, after=after)
    terminal.answer(data, task_view(task, bill=bill, server=server))
    return ended_well(task)


def ended_well(task: Task) -> int:
    """The exit code for a task that was watched to its end."""
    return 0 if task.status == "completed" else 1


def address_of(video_file: Path, api_url: str, farm: LocalFarm | None) -> str:
    """The file's URL; ``farm`` is the one that runs here.

    Raises:
        BadParameter: the farm is on this machine, and the file is not, or where it is not read.
    """
    if not is_loopback(urlsplit(api_url).hostname or ""):
        return video_file.resolve().as_uri()
    if not video_file.is_file():
        raise click.BadParameter(
            f"{video_file} is no file here; a video on the web is named by --video-url",
            param_hint="--file",
        )
    if farm is not None and farm.is_at(api_url) and not farm.may_read(video_file):
        raise click.BadParameter(
            f"{video_file} lies where the farm here does not read: copy it into"
            f" {' or '.join(farm.media_dirs)} and submit it from there, or stop `owl up` with"
            " Ctrl-C and start it again as before, with"
            f" `--media-dir {shlex.quote(str(video_file.resolve().parent))}` added",
            param_hint="--file",
        )
    return video_file.resolve().as_uri()


def config_of(settings: tuple[str, ...]) -> dict[str, Any]:
    """``key=value`` pairs as the task's config.

    Raises:
        BadParameter: one is no such pair.
    """
    config: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{setting!r} is not KEY=VALUE", param_hint="--config")
        try:
            config[key] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            config[key] = value
    return config
