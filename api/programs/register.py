"""``owl register``: open an account."""

from __future__ import annotations

import click

from api.client.wording import line
from api.programs.asking import Terminal, asks_the_api
from api.programs.login import Typed, given_password
from api.programs.refusal_words import login_command


@click.command()
@click.option("--email", cls=Typed, prompt="E-mail", help="Your e-mail address.")
@click.option(
    "--username", cls=Typed, prompt="Username", help="3 to 50 letters, digits, _ . and -."
)
@click.option("--full-name", default="", help="How you are called.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@asks_the_api
async def command(
    terminal: Terminal, email: str, username: str, full_name: str, *, password_stdin: bool
) -> None:
    """Open an account; then sign in with `owl login`."""
    account = {
        "email": email,
        "username": username,
        "full_name": full_name,
        "password": given_password(from_stdin=password_stdin, again=True),
    }
    async with terminal.client() as client:
        data = await client.post("/auth/register", account)
    signing_in = login_command(terminal.sessions.profile)
    terminal.answer(data, line(f"registered {data['email']}: now {signing_in}"))
