"""Every code, refusal and fault has its sentence in both languages."""

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.errors import STATUSES
from api.log_texts import TEXTS
from api.messages import ERRORS, FAULTS, LABELS, REASONS, Fault, Text, language_of, sentence
from domain.errors import Refused
from domain.facts import tag_of
from projections.task_events import LEVELS

DOMAIN = Path(__file__).parents[2] / "domain"


def refusals(kind: type[Refused] = Refused) -> Iterator[type[Refused]]:
    yield kind
    for each in kind.__subclasses__():
        yield from refusals(each)


def reasons() -> Iterator[str]:
    """The sentences that the domain gives to ``InvalidState`` and its like."""
    for path in DOMAIN.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Assign(targets=[ast.Name(id="message")], value=ast.Constant(value)):
                    yield str(value)
                case ast.Call(
                    func=ast.Name(id="InvalidState" | "Denied" | "Unavailable"),
                    args=[ast.Constant(value), *_],
                ):
                    yield str(value)


def test_every_code_has_a_status_and_a_sentence() -> None:
    assert STATUSES.keys() == ERRORS.keys()


@pytest.mark.parametrize("refusal", sorted(set(refusals()) - {Refused}, key=str))
def test_every_refusal_of_the_domain_is_answered(refusal: type[Refused]) -> None:
    assert refusal.code in STATUSES


@pytest.mark.parametrize("reason", sorted(set(reasons())))
def test_every_reason_the_domain_gives_is_said_in_both_languages(reason: str) -> None:
    assert reason in REASONS


def test_no_reason_is_kept_that_the_domain_no_longer_gives() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in DOMAIN.rglob("*.py"))
    assert [reason for reason in REASONS if f'"{reason}"' not in source] == []


@pytest.mark.parametrize("table", [ERRORS, REASONS, FAULTS, LABELS, TEXTS])
def test_both_languages_fill_the_same_places(table: dict[str, Text]) -> None:
    def places(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text)} - {None, "label"}

    for key, text in table.items():
        assert places(text.zh) == places(text.en), key


def test_every_event_of_a_tasks_log_has_a_sentence() -> None:
    assert {tag_of(fact) for fact in LEVELS} == TEXTS.keys()


def test_the_contracts_own_sentences_come_out() -> None:
    short = Fault("too_short", {"limit": 6})
    assert sentence("password", short, "zh") == "密码长度至少6位"
    assert sentence("email", Fault("format"), "zh") == "邮箱格式不正确"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "zh"),
        ("en", "en"),
        ("en-US,en;q=0.9", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en;q=0.5, zh;q=0.4", "en"),
        ("en;q=0", "zh"),
        ("fr", "zh"),
        ("*", "zh"),
        ("en;q=nonsense", "zh"),
    ],
)
def test_english_is_spoken_to_whoever_prefers_it(header: str, language: str) -> None:
    assert language_of(header) == language
