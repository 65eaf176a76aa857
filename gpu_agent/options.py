"""Options that several commands of ``owl-agent`` have, each with its environment variable."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import click

Command = Callable[..., Any]
PREFIX: Final = "OWL_AGENT_"
VARIABLES: Final = frozenset(
    PREFIX + name
    for name in (
        *("DIR", "API_URL", "NATS_URL", "TOKEN", "TOKEN_FILE", "MEDIA_DIR"),
        *("ALLOW_HTTP", "ALLOW_NETWORK", "TASK_MEMORY_MIB"),
    )
)


def unknown_variables(variables: Iterable[str]) -> list[str]:
    """Those that begin like an agent's and would be overlooked."""
    return [name for name in variables if name.startswith(PREFIX) and name not in VARIABLES]


def state_option(command: Command) -> Command:
    """``--state-dir``."""
    return click.option(
        "--state-dir",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="OWL_AGENT_DIR",
        default=Path.home() / ".owl-agent",
        show_default="~/.owl-agent",
        help="Identity, spool and workspaces. [OWL_AGENT_DIR]",
    )(command)


def api_option(command: Command) -> Command:
    """``--api-url``."""
    return click.option(
        "--api-url",
        envvar=["OWL_AGENT_API_URL", "OWL_API_URL"],
        help="The platform, such as https://owl.example. [OWL_API_URL]",
    )(command)


def media_option(command: Command) -> Command:
    """``--media-dir``."""
    return click.option(
        "--media-dir",
        "media",
        multiple=True,
        envvar="OWL_AGENT_MEDIA_DIR",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Where file: addresses of tasks lead; may be given more than once.",
    )(command)
