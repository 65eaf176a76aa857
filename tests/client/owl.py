"""Runs ``owl`` as a person would: arguments, what is typed in, exit code and what is shown."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from api.cli import main
from tests.api.live import PASSWORD, Person


class Owl:
    """One person's command line, with a configuration directory of their own."""

    def __init__(self, api_url: str, home: Path) -> None:
        self._api_url = api_url
        self._home = home

    def __call__(self, *arguments: str, typed: str = "") -> Result:
        environment = {"XDG_CONFIG_HOME": str(self._home), "OWL_API_URL": self._api_url}
        return CliRunner().invoke(main, arguments, input=typed, env=environment)

    def ok(self, *arguments: str) -> str:
        """What is shown by a command that must succeed."""
        result = self(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str) -> Any:
        """What a command that must succeed says as JSON."""
        return json.loads(self.ok(*arguments, "--json"))

    def log_in(self, person: Person) -> "Owl":
        """Sign in as somebody."""
        result = self("login", "--email", person.email, "--password-stdin", typed=PASSWORD)
        assert result.exit_code == 0, result.output
        return self
