"""``owl login``: sign in, and stay signed in until the token's time is over."""

from __future__ import annotations

import signal
import sys
from datetime import UTC, datetime
from typing import Any, Final

import click

from api.client.session import Session
from api.client.wording import line, local
from api.messages import Text
from api.programs.asking import Terminal, asks_the_api

NO_TERMINAL: Final = Text(
    "标准输入不是终端：请给出 {option}", "standard input is no terminal: give {option}"
)
NO_PASSWORD: Final = Text(
    "标准输入中没有密码：请通过管道传入，或在终端中输入",
    "no password on standard input: pipe it in, or use a terminal",
)


class Typed(click.Option):
    """An option that a person is asked for: what a pipe holds is the password, never this."""

    def prompt_for_value(self, ctx: click.Context) -> Any:
        """Ask at a terminal; elsewhere say which option is missing."""
        if not sys.stdin.isatty():
            said = NO_TERMINAL.in_language(ctx.params["language"], option=self.opts[0])
            raise click.UsageError(said, ctx)
        return super().prompt_for_value(ctx)


@click.command()
@click.option("--email", cls=Typed, prompt="E-mail", help="The account's e-mail address.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@asks_the_api
async def command(terminal: Terminal, email: str, *, password_stdin: bool) -> None:
    r"""Sign in. The token is kept in your configuration directory, readable by you alone.

    \b
      owl login --email you@example.com --api https://owl.example
      owl login --email boss@example.com --profile boss     beside it; then --profile boss
    """
    password = given_password(from_stdin=password_stdin)
    async with terminal.client() as client:
        answer = await client.log_in(email, password)
    session = Session.of(answer, now=datetime.now(UTC))
    sessions = terminal.sessions.load().opened(terminal.api_url, session)
    terminal.sessions.save(sessions)
    profile = terminal.sessions.profile
    shown = {
        "api": terminal.api_url,
        "profile": profile,
        "user": answer["user"],
        "expires_at": session.expires_at.isoformat(timespec="seconds"),
    }
    until = local(session.expires_at)
    terminal.answer(
        shown,
        line(
            f"signed in to {terminal.api_url} as {session.email} ({session.role}) until {until}"
            + (f" (profile {profile})" if profile else "")
        ),
    )
    before = terminal.session
    if before is not None and before.email != session.email:
        terminal.note(
            f"{before.email} is signed out here: --profile NAME (or OWL_API_PROFILE) keeps both"
        )


def given_password(*, from_stdin: bool, again: bool = False) -> str:
    """The password, typed unseen or piped in; never an argument, which others could see.

    Raises:
        UsageError: nothing came by the pipe.
    """
    if from_stdin or not sys.stdin.isatty():
        if not (piped := sys.stdin.readline().rstrip("\r\n")):
            language = click.get_current_context().params["language"]
            raise click.UsageError(NO_PASSWORD.in_language(language))
        return piped
    # the event loop would keep the first Ctrl-C to itself until the prompt has returned
    loops = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt=again)
    finally:
        signal.signal(signal.SIGINT, loops)
    return password
