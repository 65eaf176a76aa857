"""The command line: every program explains itself, and failures are one sentence and a code."""

import os
import re
import subprocess
import sys
from errno import ENOSPC
from pathlib import Path

import click
import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg.conninfo import timeout_from_conninfo
from psycopg.errors import DataCorrupted

from api.cli import CONNECT_S, main
from api.programs.failing import ProgramFailed, Unreachable, in_words
from gpu_agent.__main__ import main as agent

NO_SETTINGS = {"OWL_DATABASE_URL": "", "OWL_NATS_URL": "", "OWL_PROFILE": "production"}


def run(*words: str, **settings: str) -> Result:
    return CliRunner().invoke(main, words, env=NO_SETTINGS | settings)


@pytest.mark.parametrize(("given", "waited_s"), [(None, CONNECT_S), ("42", 42)])
def test_a_host_that_answers_nothing_is_not_waited_for_longer_than_is_said(
    monkeypatch: pytest.MonkeyPatch, given: str | None, waited_s: int
) -> None:
    monkeypatch.setenv("PGCONNECT_TIMEOUT", given or "")  # put back afterwards
    if given is None:
        monkeypatch.delenv("PGCONNECT_TIMEOUT")
    assert run("work", "--help").exit_code == 0
    assert timeout_from_conninfo({}) == waited_s


@pytest.mark.parametrize("service", ["up", "serve", "work"])
def test_what_runs_until_it_is_stopped_ends_well_by_ctrl_c(service: str) -> None:
    told = " ".join(run(service, "--help").output.split())
    assert "0 stopped in order, by Ctrl-C too" in told
    assert "130" not in told


def programs() -> list[list[str]]:
    """Every command and sub-command there is."""
    found: list[list[str]] = []
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        found.append([name])
        if isinstance(command, click.Group):
            found += [[name, below] for below in command.list_commands(context)]
    return found


@pytest.mark.parametrize("words", programs(), ids=" ".join)
def test_every_program_explains_itself(words: list[str]) -> None:
    result = run(*words, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert "\\b" not in result.output
    assert re.search(r"[Ee]xit\s+code", result.output)
    assert "..." not in result.output.replace("[ARGS]...", "").replace("COMMAND...", ""), (
        "sentences of a list are whole"
    )


def test_who_looks_at_the_log_waits_for_no_web_server_and_no_broker() -> None:
    """Half of what such a program takes to start would be what it does not use."""
    code = (
        "import sys; import api.programs.audit, api.programs.projections;"
        "found = {'litestar', 'uvicorn', 'nats', 'pyarrow', 'argon2'} & set(sys.modules);"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("words", "near"),
    [
        ("task list", "tasks"),
        ("profile", "profiles"),
        ("tasks lst", "list"),
        ("admin user list", "users"),
        ("admin users lsit", "list"),
        ("audit verfy", "verify"),
        ("projections rebuid", "rebuild"),
    ],
)
def test_a_mistyped_command_is_answered_with_the_near_one(words: str, near: str) -> None:
    result = run(*words.split())
    assert result.exit_code == 2
    assert re.search(rf"Did you mean [^?]*'{near}'", result.output), result.output


@pytest.mark.parametrize(
    ("words", "right"),
    [
        ("--profile boss me", "owl me --profile …"),
        ("--profile boss tasks list", "owl tasks list --profile …"),
        ("tasks --json list", "owl tasks list --json"),
        ("admin users --language zh list", "owl admin users list --language …"),
        ("--profile boss", "owl me --profile …"),
        ("--profile=tasks me", "owl me --profile …"),
        ("admin users --profile boss", "owl admin users list --profile …"),
    ],
)
def test_an_option_before_its_command_is_shown_where_it_stands(words: str, right: str) -> None:
    result = run(*words.split())
    assert result.exit_code == 2
    assert f"it stands after the command: `{right}`" in result.output


@pytest.mark.parametrize("words", ["--nothing me", "tasks --nothing list", "me --profle boss"])
def test_an_option_that_is_none_is_only_said_to_be_none(words: str) -> None:
    result = run(*words.split())
    assert result.exit_code == 2
    assert "No such option" in result.output
    assert "stands after" not in result.output


def test_a_setting_that_is_unknown_is_a_usage_error() -> None:
    result = run("migrate", OWL_PROT="1")
    assert result.exit_code == 2
    assert "unknown setting OWL_PROT" in result.output


def test_a_program_that_misses_its_database_says_how_to_name_it(tmp_path: object) -> None:
    result = run("migrate", OWL_DATA_DIR=str(tmp_path))
    assert result.exit_code == 3
    assert "OWL_DATABASE_URL" in result.output
    assert "no `owl up` runs here: start it" in result.output


@pytest.mark.parametrize("words", ["audit show 1", "audit verify", "audit checkpoints"])
def test_a_database_that_is_not_there_is_one_sentence_and_not_wrong_usage(words: str) -> None:
    url = "postgresql://owl@127.0.0.1:1/owl"
    result = run(*words.split(), OWL_DATABASE_URL=url)
    assert result.exit_code == 3
    assert "the database does not answer" in result.output
    assert "`owl doctor` looks at it" in result.output
    assert result.output.count("\n") == 1, result.output


def test_a_database_that_is_starting_is_worth_another_try() -> None:
    said = "FATAL:  the database system is starting up\nDETAIL:  it recovers"
    with pytest.raises(Unreachable, match=r"up\): try again in a moment"), in_words():
        raise psycopg.OperationalError(said)


def test_damage_that_postgres_meets_is_told_in_a_sentence() -> None:
    with pytest.raises(ProgramFailed, match=r"page in block 7\).*a backup"), in_words():
        raise DataCorrupted("invalid page in block 7\nCONTEXT: a statement")


def test_the_doctor_finds_a_database_that_is_not_there(tmp_path: object) -> None:
    url = "postgresql://owl@127.0.0.1:1/owl"
    result = run("doctor", "--json", OWL_DATABASE_URL=url, OWL_DATA_DIR=str(tmp_path))
    assert result.exit_code == 1
    assert '{"about":"database","verdict":"bad"' in result.output


def test_an_agents_variable_that_nobody_knows_is_a_usage_error() -> None:
    environment = {"OWL_AGENT_TOKNE_FILE": "/run/token"}
    result = CliRunner().invoke(agent, ["probe"], env=environment)
    assert result.exit_code == 2
    assert "unknown setting OWL_AGENT_TOKNE_FILE" in result.output


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("migrate",), 3, "the database does not answer"),
        (("migrate", "--database-url", "nonsense"), 2, "that names no database"),
        (("projections", "status", "nosuch"), 2, "'nosuch' is not one of"),
        (("projections", "plan", "nosuch"), 2, "'nosuch' is not one of"),
        (("audit", "verify"), 3, "the database"),
        (("audit", "verify", "--database-url", "nonsense"), 2, "that names no database"),
        (("up", "--once", "--data-dir", "/dev/null/x"), 1, "choose another data directory"),
    ],
)
def test_what_is_out_of_reach_is_a_sentence_and_no_traceback(
    words: tuple[str, ...], exit_code: int, said: str
) -> None:
    result = run(*words, OWL_DATABASE_URL="postgresql://owl@127.0.0.1:1/owl")
    assert result.exit_code == exit_code, result.output
    assert said in result.output
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    ("words", "asks"),
    [
        ("gpu top", "api.programs.gpu.ask_farm"),
        ("audit log --follow", "projections.audit.story.bounds"),
        ("audit verify", "projections.audit.stored.StoredLog.open"),
        ("projections status --watch", "api.programs.projections.opened"),
    ],
)
def test_after_ctrl_c_every_command_ends_alike_and_quietly(
    database_url: str, monkeypatch: pytest.MonkeyPatch, words: str, asks: str
) -> None:
    def interrupted(*_given: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(asks, interrupted)
    result = run(*words.split(), OWL_DATABASE_URL=database_url, OWL_PROFILE="test")
    assert (result.exit_code, result.output.strip()) == (130, "")


def test_a_full_disk_is_a_sentence_wherever_the_output_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_given: object, **_more: object) -> None:
        raise OSError(ENOSPC, os.strerror(ENOSPC))

    monkeypatch.setattr("api.programs.audit_story.asked", full)
    result = run("audit", "log")
    assert (result.exit_code, result.output) == (1, "Error: No space left on device\n")
    monkeypatch.setattr("api.programs.audit_bundle.opened_log", full)
    result = run("audit", "export", "-o", "log.owlb", "--withhold", "wallet.*")
    assert (result.exit_code, result.output) == (1, "Error: No space left on device\n")


def test_the_doctor_marks_what_it_found(tmp_path: object) -> None:
    result = run("doctor", OWL_DATA_DIR=str(tmp_path))
    assert "✓ Python: " in result.output
    assert "[green]" not in result.output
