"""What every command that asks the API has in common: where it is, who asks, how it answers.

The address is ``--api``, else ``OWL_API_URL``, else where one signed in last, else that of the
``owl up`` that runs here; that one comes first if one signed in last on this machine. The token
is that of ``owl login`` for just this address and profile, or ``OWL_API_TOKEN``.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Concatenate, Final, ParamSpec
from urllib.parse import urlsplit

import click
from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console, Group, RenderableType

from api.client.files import ArtifactDamaged
from api.client.http import DEFAULT_API_URL, ApiClient, ApiRefused, ApiUnreachable, api_url_of
from api.client.screen import console
from api.client.session import PROFILE, Session, SessionFile
from api.client.wording import clean
from api.messages import Language
from api.programs.local_farm import farm_here
from api.programs.refusal_words import is_signing_in, sentence, standing
from api.settings import SettingsInvalid, check_names, is_loopback

P = ParamSpec("P")

OUT_OF_REACH: Final = 3
"""The exit code when nothing was refused: there was nobody to ask."""
APPLICATION: Final = "owl-factory"


class Terminal(Struct, frozen=True, kw_only=True):
    """The person's side: their session, their way of reading."""

    api_url: str
    token: str
    language: Language
    as_json: bool
    console: Console
    sessions: SessionFile
    session: Session | None = None
    """The login kept for the address, over or not."""

    def client(self) -> ApiClient:
        """A session with the API as the signed-in user."""
        return ApiClient(self.api_url, token=self.token, language=self.language)

    def answer(self, data: Any, shown: RenderableType) -> None:
        """Print ``shown``, or with ``--json`` the API's own ``data``."""
        if self.as_json:
            click.echo(json.dumps(data, ensure_ascii=False, indent=2))
        else:
            # in a group: a text by itself would lose that it is not to be folded
            self.console.print(Group(shown), crop=False)

    def progress(self) -> Console:
        """Where to show what advances: beside the answer, so that JSON stays JSON."""
        return console(beside=True) if self.as_json else self.console

    def note(self, sentence: str) -> None:
        """Something beside the answer, for the person."""
        if not self.as_json:
            self.console.print(clean(sentence, "dim"))


class OutOfTouch(click.ClickException):
    """Nothing answers, or not as our API does."""

    exit_code = OUT_OF_REACH


class RefusedByApi(click.ClickException):
    """The API said no."""

    def __init__(self, error: ApiRefused, terminal: Terminal) -> None:
        profile, language = terminal.sessions.profile, terminal.language
        who = standing(terminal.session, terminal.token, terminal.api_url, profile, language)
        super().__init__(sentence(error, who, profile, language))
        self.error = error
        self.as_json = terminal.as_json

    def show(self, file: IO[Any] | None = None) -> None:
        """One sentence, then each field that is wrong; with ``--json`` the failure itself."""
        if self.as_json:
            failure = {
                "success": False,
                "message": self.error.message,
                "error_code": self.error.code,
                "details": self.error.details,
            }
            click.echo(json.dumps(failure, ensure_ascii=False), file=file, err=file is None)
        else:
            super().show(file)


class UnavailableApi(RefusedByApi):
    """The API is there, but what it needs is not, or an operator closed it for a while."""

    exit_code = OUT_OF_REACH


language_option: Final = click.option(
    "--language",
    envvar="OWL_API_LANGUAGE",
    type=click.Choice(["en", "zh"]),
    default="en",
    show_default=True,
    is_eager=True,  # known to whatever is wrong with another option
    help="Of the API's sentences and refusals.",
)


def asks_the_api(
    command: Callable[Concatenate[Terminal, P], Coroutine[Any, Any, int | None]],
) -> Callable[P, None]:
    """Make a coroutine that takes a `Terminal` the body of a click command.

    What it returns is the exit code, ``None`` being 0.
    """

    @click.option(
        "--api", "api_url", envvar="OWL_API_URL", metavar="URL", help="The API's address."
    )
    @click.option("--token", envvar="OWL_API_TOKEN", hidden=True)
    @click.option(
        "--profile",
        envvar="OWL_API_PROFILE",
        metavar="NAME",
        help="Which login, where you keep several; `owl profiles` lists them.",
    )
    @language_option
    @click.option("--json", "as_json", is_flag=True, help="Print the API's data as JSON.")
    @functools.wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> None:
        terminal = _terminal(
            api_url=options.pop("api_url"),
            token=options.pop("token"),
            profile=options.pop("profile"),
            language=options.pop("language"),
            as_json=options.pop("as_json"),
        )
        try:
            code = asyncio.run(command(terminal, *args, **options))
        except ApiRefused as error:
            if error.code == "INVALID_CREDENTIALS" and not is_signing_in():
                terminal = _signed_out(terminal)
            is_away = error.code == "SERVER_UNAVAILABLE"
            failure = UnavailableApi if is_away else RefusedByApi
            raise failure(error, terminal) from error
        except ApiUnreachable as error:
            raise OutOfTouch(f"{error}{_better_address(terminal.api_url)}") from error
        except ArtifactDamaged as error:
            raise click.ClickException(str(error)) from error
        sys.exit(code or 0)

    return run


def _terminal(
    *, api_url: Any, token: Any, profile: Any, language: Any, as_json: Any
) -> Terminal:
    if profile is not None and not PROFILE.fullmatch(profile):
        raise click.BadParameter(
            "1 to 32 letters, digits, _ . and -, a letter or digit first",
            param_hint="--profile",
        )
    try:
        check_names()
    except SettingsInvalid as error:
        raise click.UsageError(str(error)) from error
    # click knows where each system keeps such files: XDG_CONFIG_HOME and its cousins
    directory = Path(click.get_app_dir(APPLICATION))
    file = SessionFile(directory, profile)
    sessions = file.load()
    last = sessions.current or SessionFile(directory).load().current
    try:
        address = api_url_of(api_url or _known_address(last) or DEFAULT_API_URL)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--api") from error
    session = sessions.by_url.get(address)
    if not token and session is not None and session.is_good(datetime.now(UTC)):
        token = session.token
    return Terminal(
        api_url=address,
        token=token or "",
        language=language,
        as_json=as_json,
        console=console(),
        sessions=file,
        session=session,
    )


def _signed_out(terminal: Terminal) -> Terminal:
    """With the login known as void, if it was its token that the API did not take."""
    session = terminal.session
    if session is None or terminal.token != session.token:
        return terminal
    with suppress(OSError):  # to be told why is worth more than to have it kept
        sessions = terminal.sessions.load().voided(terminal.api_url, session.token)
        terminal.sessions.save(sessions)
    return replace(terminal, token="", session=replace(session, is_void=True))


def _known_address(last: str | None) -> str | None:
    """Where one signed in last, unless that was on this machine and what runs here moved."""
    here = _running_here()
    if last is None or here is None:
        return last or here
    was, now = urlsplit(last), urlsplit(here)
    return here if is_loopback(was.hostname or "") and was.port != now.port else last


def _running_here() -> str | None:
    farm = farm_here()
    return farm.api_url if farm is not None else None


def _better_address(api_url: str) -> str:
    here = _running_here()
    if here is None or urlsplit(here).port == urlsplit(api_url).port:
        return ""
    return f"\n  an `owl up` runs here, with its API at {here}: name it with --api"
