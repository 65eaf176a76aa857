"""Arguments of ``owl audit`` and ``owl privacy``: help says how each is written and found."""

from pathlib import Path

import click
import pytest

from api.programs.audit import command
from api.programs.audit_asking import MomentType, nothing_found
from tests.programs.test_command_line import run


@pytest.mark.parametrize(
    "words",
    [
        ("audit", "log", "--account", "a@b.cn"),
        ("audit", "reconcile", "--account", "a@b.cn"),
        ("audit", "history", "user:a@b.cn"),
        ("audit", "state", "user:a@b.cn", "--at", "1"),
        ("privacy", "erase", "mei", "--reason", "wish"),
        ("privacy", "report", "mei"),
    ],
    ids=" ".join,
)
def test_whoever_gives_no_users_id_is_told_where_ids_are_listed(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert "owl admin users list" in result.output
    assert "owl admin users list" in " ".join(run(*words[:2], "--help").output.split())


def test_what_takes_a_time_says_what_a_bare_date_is() -> None:
    context, silent, asked = click.Context(command), [], 0
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        for each in below.params:
            if isinstance(each.type, MomentType):
                asked += 1
                told = each.help if isinstance(each, click.Option) else below.help
                if "A bare date is 00:00 UTC." not in (told or ""):
                    silent.append(f"{name} {each.name}")
    assert asked > 5
    assert silent == []


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("walet.*", "\nno type of event is walet.*: wallet.*?"),
        (
            "tasks.task_faild/1",
            "\nno type of event is tasks.task_faild/1: tasks.task_failed/1?",
        ),
        ("§", "\nno type of event is §"),
        ("wallet.*", ""),
        (None, ""),
    ],
)
def test_a_type_that_no_event_has_is_named_with_the_nearest(
    pattern: str | None, told: str
) -> None:
    assert nothing_found(9, pattern) == f"no event up to position 9 matches{told}"


def test_to_withhold_what_no_event_is_would_give_it_away() -> None:
    result = run("audit", "export", "-o", "log.owlb", "--withhold", "walet.*")
    assert result.exit_code == 2
    assert "no type of event is walet.*: wallet.*?" in result.output


@pytest.mark.parametrize("words", [("audit", "receipt", "1"), ("audit", "export")])
def test_what_cannot_be_written_is_said_before_anything_is_asked(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    result = run(*words, "-o", str(tmp_path / "gone" / "file"))
    assert result.exit_code == 2
    assert "no directory " in result.output


def test_an_amount_is_never_less_than_nothing() -> None:
    result = run("audit", "log", "--min-amount", "-5")
    assert result.exit_code == 2
    assert "-5 is less than nothing" in result.output
