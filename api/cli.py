"""The command line ``owl``: each command is a program of ``api/programs``, loaded when called.

Exit codes: 0 done, 1 it failed and says why, 2 it was called wrongly, 3 something that it needs
(the database, a key) is out of reach, 130 Ctrl-C ended it.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from errno import EDQUOT, ENOSPC
from typing import Any, Final

import click

_EXIT_CODES: Final = (
    "Exit codes: 0 done and well, 1 it failed or something was found, 2 called wrongly,"
    " 3 out of reach, 130 after Ctrl-C."
)
INTERRUPTED: Final = 130
"""The exit code after Ctrl-C, as shells have it."""
_FULL: Final = {ENOSPC, EDQUOT}
_OF_SERVICES: Final = (
    "Exit codes: 0 stopped in order, by Ctrl-C too, 1 it failed, 2 called wrongly, 3 out of"
    " reach."
)
_SERVICES: Final = frozenset({"up", "serve", "work"})
_SENTENCE_END: Final = re.compile(r"[.:;](?:\s|$)|\n\n")
_EXIT_CODE: Final = re.compile(r"[Ee]xit\s+code")
CONNECT_S: Final = 10
_GIVEN: Final = "api.cli.given"
"""In a context's ``meta``: all that stands behind ``owl``."""
_PROGRAMS: Final[dict[str, tuple[str, str]]] = {
    "up": ("api.programs.up", "The whole platform on this machine, and one real analysis."),
    "serve": ("api.programs.serve", "The HTTP API, one process."),
    "work": ("api.programs.work", "Projector, relay, ingest, scheduler: the background loops."),
    "migrate": ("api.programs.migrate", "Bring the database's tables up to date."),
    "keys": ("api.programs.keys", "Make the platform's keys."),
    "admin": ("api.programs.admin", "Users, roles, configuration; the first administrator."),
    "projections": ("api.programs.projections", "How far the read models are; rebuild them."),
    "audit": ("api.programs.audit", "Prove the log; ask what happened, to whom and why."),
    "privacy": ("api.programs.privacy", "Forget a person, keep every proof and balance."),
    "doctor": ("api.programs.doctor", "Check what this machine has and what is in the way."),
    "register": ("api.programs.register", "Open an account."),
    "login": ("api.programs.login", "Sign in to an API."),
    "logout": ("api.programs.logout", "Forget the token."),
    "profiles": ("api.programs.profiles", "Which logins are kept here, and as whom."),
    "me": ("api.programs.me", "Your account and balance."),
    "redeem": ("api.programs.redeem", "Turn a recharge code into balance."),
    "records": ("api.programs.records", "What you redeemed."),
    "tasks": ("api.programs.tasks", "Submit, watch, list, cancel, retry; logs and files."),
    "gpu": ("api.programs.gpu", "The farm: a live table; let a server in."),
    "codes": ("api.programs.codes", "Recharge codes, for administrators."),
}


class _Programs(click.Group):
    """Loads a program when it is named, so that ``owl --help`` starts at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_PROGRAMS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _PROGRAMS:
            return None
        command: click.Command = importlib.import_module(_PROGRAMS[cmd_name][0]).command
        _explain(command, _OF_SERVICES if cmd_name in _SERVICES else _EXIT_CODES)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _PROGRAMS and (near := get_close_matches(args[0], _PROGRAMS)):
            names = " or ".join(map(repr, near))
            raise click.UsageError(f"No such command {args[0]!r}. Did you mean {names}?", ctx)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_GIVEN] = list(args)
        with self._options_placed(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with self._options_placed(ctx):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)  # whoever pressed it knows
        except OSError as error:
            if error.errno not in _FULL:
                raise
            where = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{where}{error.strerror}") from error

    @contextmanager
    def _options_placed(self, ctx: click.Context) -> Iterator[None]:
        """Where an option that a group does not know belongs is shown, if its command does."""
        try:
            yield
        except click.NoSuchOption as error:
            if error.ctx is None or not isinstance(error.ctx.command, click.Group):
                raise
            name = error.option_name
            if not (usage := _usage_with(name, self, ctx)):
                raise
            said = f"No such option {name!r} here: it stands after the command: `{usage}`"
            raise click.NoSuchOption(name, said, ctx=error.ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _PROGRAMS.items()])


def _usage_with(option: str, programs: click.Group, ctx: click.Context) -> str:
    """How the command that was meant takes the option; without one, how another takes it."""
    for words in (ctx.meta[_GIVEN], ["me"]):
        path = ["owl"]
        command: click.Command = programs
        for word in words:
            named = command.get_command(ctx, word) if isinstance(command, click.Group) else None
            if named is not None:
                path.append(word)
                command = named
        if isinstance(command, click.Group) and command is not programs:
            # of its commands, the first that takes it
            below = [command.get_command(ctx, name) for name in command.list_commands(ctx)]
            found = [each for each in below if each is not None and _takes(each, option)]
            path += [str(each.name) for each in found[:1]]
            command = found[0] if found else command
        if taken := _takes(command, option):
            return " ".join((*path, option, *([] if taken.is_flag else ["…"])))
    return ""


def _takes(command: click.Command, option: str) -> click.Option | None:
    options = (each for each in command.params if isinstance(each, click.Option))
    return next((each for each in options if option in each.opts), None)


def _explain(command: click.Command, exit_codes: str = _EXIT_CODES) -> None:
    """Lists show first sentences whole, and every page says what its exit codes mean."""
    # what follows is not to be folded: a raw docstring cannot hold the sign that click wants
    told = command.help = (command.help or "").replace("\\b\n", "\b\n")
    command.short_help = _SENTENCE_END.split(told)[0]
    if not _EXIT_CODE.search(told):
        command.epilog = exit_codes
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _explain(below)


@click.group(
    cls=_Programs, epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="owl-factory", prog_name="owl")
def main() -> None:
    """Owl Factory 猫头鹰工厂: rents out a farm of GPU servers by the task.

    Settings are environment variables OWL_<NAME>: docs/operations.md lists them.
    """
    # a host that is not there may answer nothing at all: libpq would wait for it two minutes
    os.environ.setdefault("PGCONNECT_TIMEOUT", str(CONNECT_S))


if __name__ == "__main__":
    main(prog_name="owl")
