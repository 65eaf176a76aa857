"""Options that several commands of ``owl-agent`` have, each with its environment variable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]


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
