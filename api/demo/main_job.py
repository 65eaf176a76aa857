"""The main job, from money to result, over HTTP alone: what any client can do as well.

An administrator makes a recharge code; a user redeems it, orders the analysis of a video, sees
it advance, and gets what was found and what it cost. Who has enough left needs no other code.
"""

from __future__ import annotations

import shutil
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Final

from msgspec import Struct
from rich.console import Console, Group, RenderableType
from rich.text import Text

from api.client.answers import Batch, Me, Task, read
from api.client.farm import server_name
from api.client.files import ArtifactDamaged, save_artifacts
from api.client.http import ApiClient, ApiRefused, ApiUnreachable, api_url_of
from api.client.show import Bill, task_view
from api.client.watch import WatchedTooLong, watch
from api.client.wording import clean, heading, line, yuan

TOP_UP_YUAN: Final = 10.0
TITLE: Final = "Big Buck Bunny 视频分析"
ESTIMATE_MIN: Final = 2
LIMIT_S: Final = 300.0
"""To the end of the analysis of a short clip; a slow machine takes some tens of seconds."""


class Credentials(Struct, frozen=True, kw_only=True):
    """Who signs in. ``username`` is for registering; by default what stands before the @."""

    email: str
    password: str
    username: str = ""


class MainJobOutcome(Struct, frozen=True, kw_only=True):
    """How it went. ``exit_code`` is 0 only if the analysis completed and its files are here."""

    exit_code: int
    task: Task | None = None
    bill: Bill | None = None
    files: tuple[Path, ...] = ()


class CannotShow(Exception):
    """The demonstration's account was changed; the message says how, and the way back."""


async def run_main_job(
    api_url: str,
    *,
    media_file: Path,
    results_dir: Path,
    console: Console,
    operator: str,
    demo: Credentials,
    stays: bool = True,
) -> MainJobOutcome:
    """Run it and show it; on the same data again it does the same with what is left.

    ``media_file`` lies in a media directory of an agent; its pictures are written below
    ``results_dir``, in a directory named by the task. ``operator`` is the token of who makes
    the code. What to try next is told if the platform ``stays``.
    """
    try:
        async with ApiClient(api_url) as client:
            await _sign_in(client, demo, console)
            task_id, before = await _ordered(client, operator, media_file, console)
            outcome = await _watched(client, task_id, before, results_dir, console)
    except CannotShow as error:
        left_out = f"{error}. All else works; --no-demo starts it without."
        console.print(Text.assemble(("no demonstration: ", "bold red"), clean(left_out)))
        return MainJobOutcome(exit_code=1)
    except (ApiRefused, ApiUnreachable, WatchedTooLong, ArtifactDamaged) as error:
        console.print(Text.assemble(("failed: ", "bold red"), clean(str(error))))
        return MainJobOutcome(exit_code=1)
    if outcome.task is not None and stays:
        console.print(_next_steps(api_url_of(api_url), outcome.task, demo), crop=False)
    return outcome


async def _sign_in(client: ApiClient, demo: Credentials, console: Console) -> None:
    """As the demonstration's user, who is registered the first time.

    Raises:
        CannotShow: the account is not any more what it was made as.
    """
    update = f"`owl admin users update {demo.email}"
    try:
        data = await client.log_in(demo.email, demo.password)
    except ApiRefused as refused:
        if refused.status != HTTPStatus.UNAUTHORIZED:
            raise
        account = {
            "email": demo.email,
            "username": demo.username or demo.email.partition("@")[0],
            "password": demo.password,
            "full_name": "Demo 演示用户",
        }
        try:
            await client.post("/auth/register", account)
        except ApiRefused as taken:
            if taken.code != "EMAIL_TAKEN":
                raise
            raise CannotShow(
                f"{demo.email} has another password than {demo.password}, or is inactive:"
                f" {update} --active` lets it in again"
            ) from taken
        _say(console, f"{demo.email} is registered")
        data = await client.log_in(demo.email, demo.password)
    if data["user"]["role"] == "auditor":
        raise CannotShow(
            f"{demo.email} is an auditor now, who orders nothing: {update} --role user` lets it"
        )


async def _ordered(
    client: ApiClient, operator: str, media_file: Path, console: Console
) -> tuple[str, float]:
    """The task and the balance before it; a code is made only if that was too little."""
    order = {
        "title": TITLE,
        "task_type": "video_analysis",
        "priority": 2,
        "estimated_duration": ESTIMATE_MIN,
        "config": {"video_url": _address_of(media_file)},
    }
    before = read(Me, await client.get("/users/me")).balance
    try:
        submitted = await client.post("/tasks", order)
    except ApiRefused as refused:
        if refused.code != "INSUFFICIENT_BALANCE":
            raise
        before = await _top_up(client, operator, console)
        submitted = await client.post("/tasks", order)
    task_id = str(submitted["id"])
    _say(console, f"submitted video_analysis of {media_file.name} as {task_id}")
    return task_id, before


async def _top_up(client: ApiClient, operator: str, console: Console) -> float:
    """An administrator's code, redeemed: the balance after it."""
    async with ApiClient(client.api_url, token=operator) as admin:
        wanted = {"amount": TOP_UP_YUAN, "description": "demonstration"}
        (code,) = read(Batch, await admin.post("/recharge/codes", wanted)).codes
        who = read(Me, await admin.get("/users/me")).email
    _say(console, f"{who} made the recharge code {code.code}, {yuan(code.amount)}")
    redeemed = await client.post("/recharge/redeem", {"code": code.code})
    _say(console, f"redeemed: the balance is {yuan(redeemed['new_balance'])} now")
    return float(redeemed["new_balance"])


async def _watched(
    client: ApiClient, task_id: str, before: float, results_dir: Path, console: Console
) -> MainJobOutcome:
    task = await watch(client, task_id, console, limit_s=LIMIT_S)
    files = await save_artifacts(client, task_id, task.artifacts, results_dir / task_id)
    bill = Bill(before=before, after=read(Me, await client.get("/users/me")).balance)
    server = await server_name(client, task.gpu_server_id)
    places = [str(path) for path in files]
    console.print()
    console.print(task_view(task, bill=bill, files=places, server=server), crop=False)
    return MainJobOutcome(
        exit_code=0 if task.status == "completed" else 1,
        task=task,
        bill=bill,
        files=tuple(files),
    )


def _address_of(media_file: Path) -> str:
    return media_file.resolve().as_uri()


def _next_steps(api_url: str, task: Task, demo: Credentials) -> RenderableType:
    host, owl = api_url.removesuffix("/api"), _typed()
    return Group(
        Text(),
        heading("猫头鹰工厂 Owl Factory", "bold"),
        line(f"API      {api_url}"),
        line(f"docs     {host}/docs"),
        line(f"health   {host}/health/ready"),
        # known to everybody on purpose: the demonstration's platform listens on loopback only
        line(f"sign in  {demo.email}, password {demo.password}"),
        Text("\nTry next:", "bold"),
        line(f"  {owl} login --email {demo.email} --api {api_url}", "cyan"),
        line(f"  {owl} tasks submit test --config seconds=5 --watch", "cyan"),
        line(f"  {owl} tasks logs {task.id}", "cyan"),
    )


def _typed() -> str:
    """How ``owl`` is called from here: a fresh environment is not on the shell's path."""
    program = Path(sys.executable).with_name("owl")
    if shutil.which("owl") == str(program):
        return "owl"
    try:
        return str(program.relative_to(Path.cwd()))
    except ValueError:
        return str(program)


def _say(console: Console, sentence: str) -> None:
    console.print(Group(line(f"✓ {sentence}")), crop=False)
