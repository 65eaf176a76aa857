"""Every code, refusal and fault has its sentence in both languages."""

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from litestar.routes import HTTPRoute

from api.app import bare_application
from api.errors import STATUSES
from api.failure_texts import FAILURES, failure
from api.log_texts import TEXTS
from api.messages import (
    COMPRESSED,
    DENIED,
    ERRORS,
    FAULTS,
    LABELS,
    NO_SUCH_ADDRESS,
    NOT_ASCII,
    REASONS,
    Fault,
    Language,
    Text,
    language_of,
    sentence,
)
from api.policy import Policy, policy_of
from api.refusals import codes_of
from api.routes import auth, users
from domain.accounts.events import Role
from domain.errors import Refused
from domain.facts import tag_of
from domain.tasks.events import Reason
from domain.tasks.lifecycle import FAULT
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
                    func=ast.Name(id="InvalidState" | "Denied" | "NotFound" | "Unavailable"),
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


def test_no_reason_is_kept_that_nobody_gives_any_longer() -> None:
    rooms = [DOMAIN.parent / name for name in ("domain", "commands", "api")]
    paths = {path for room in rooms for path in room.rglob("*.py")}
    paths.remove(DOMAIN.parent / "api/messages.py")
    source = "".join(path.read_text(encoding="utf-8") for path in paths)
    kinds = {kind.__name__ for kind in refusals()}  # the reason of one that gives no other
    assert [name for name in REASONS if f'"{name}"' not in source and name not in kinds] == []


@pytest.mark.parametrize("table", [ERRORS, REASONS, FAULTS, LABELS, TEXTS, FAILURES])
def test_both_languages_fill_the_same_places(table: dict[str, Text]) -> None:
    def places(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text)} - {None, "label"}

    for key, text in table.items():
        assert places(text.zh) == places(text.en), key


def test_every_reason_of_an_ending_has_its_sentence() -> None:
    assert FAILURES.keys() == set(get_args(Reason)) == FAULT.keys()


@pytest.mark.parametrize("reason", get_args(Reason))
def test_what_a_program_said_is_told_of_the_users_own_errors_only(reason: Reason) -> None:
    asides: dict[Language, tuple[str, str]] = {"zh": ("（", "）"), "en": (" (", ")")}
    for language, (opened, closed) in asides.items():
        sentence_alone = FAILURES[reason].in_language(language)
        assert failure(reason, "", language) == sentence_alone
        told = failure(reason, " \x1b[2Jno such\x00 video\u202e ", language)
        if reason in {"user_error", "out_of_memory", "output_quota"}:
            assert told == f"{sentence_alone}{opened}no such video{closed}"
        else:
            assert told == sentence_alone


def test_that_there_is_no_such_host_is_said_in_ones_own_language() -> None:
    said = "https://a.example/x: a.example cannot be found"
    assert failure("user_error", said, "zh").endswith(
        "（https://a.example/x：找不到主机 a.example，请检查网址）"
    )
    assert failure("user_error", said, "en").endswith(f" ({said})")


@pytest.mark.parametrize("reason", [reason for reason in FAULT if FAULT[reason] == "platform"])
def test_what_the_platform_broke_is_said_to_be_free_and_worth_another_run(
    reason: Reason,
) -> None:
    zh, en = FAILURES[reason]
    assert "不收费" in zh
    assert "重新运行" in zh
    assert "free" in en
    assert "run" in en
    assert not re.search("多次|often|times", zh + en), "it may have been lost once"


# what the contract prints word for word, or a fault whose form its field's description says
AS_PRINTED = {"VALIDATION_ERROR", "format"}
ACTS = re.compile("请|必须|不能|只能|至少|最多|可选|应为|需要")
ACTS_IN_ENGLISH = re.compile(
    r": \w|, so \w|\bmust\b|\bgive\b|\blooks like\b|\bhas 3 to\b|\ba letter first\b",
    re.IGNORECASE,
)
SAID: dict[str, Text] = {
    **{
        kind: text
        for table in (ERRORS, DENIED, REASONS, FAULTS, FAILURES)
        for kind, text in table.items()
    },
    "login": auth.WRONG,
    "change-password": users.WRONG,
    "compressed": COMPRESSED,
    "not_ascii": NOT_ASCII,
    "no_such_address": NO_SUCH_ADDRESS,
}


@pytest.mark.parametrize("kind", SAID)
def test_what_went_wrong_is_one_sentence_that_says_what_to_do(kind: str) -> None:
    zh, en = SAID[kind]
    plain = re.sub(r"\{\w+\}", "字", zh)
    assert re.search("[\u4e00-\u9fff]", plain), "Chinese"
    assert not re.search("[\u4e00-\u9fff]", en), "English"
    assert en[0].isupper() or en.startswith("{label}")
    for text in (zh, en):
        assert text == text.strip()
        assert "\n" not in text
        assert not re.search(r"[。.!！,，;；:：、]$", text.removesuffix("..")), "no loose end"
        assert not re.search(r"。.|[a-z]\. [A-Z]", text), "one sentence"
    assert len(zh) <= 80
    assert len(en) <= 140
    if kind not in AS_PRINTED:
        assert ACTS.search(zh), zh
        assert ACTS_IN_ENGLISH.search(en), en


def test_whoever_a_policy_refuses_is_told_whose_it_is() -> None:
    """Nobody signed in is refused by ``ANYONE``, and ``PUBLIC`` asks for no role."""
    assert DENIED.keys() == set(Policy.__members__) - {"PUBLIC", "ANYONE"}
    assert Policy.ANYONE.value == set(get_args(Role))


def test_every_error_code_of_the_description_is_said() -> None:
    handlers = [
        handler
        for route in bare_application().routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if policy_of(handler) is not None
    ]
    codes = {code for each in handlers for code in codes_of(each, path_parameters=True)}
    assert codes <= ERRORS.keys()


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
