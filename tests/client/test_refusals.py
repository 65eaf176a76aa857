"""What ``owl`` says when the API refuses: whose it is, which option was wrong, what to do."""

from pathlib import Path

import pytest

from api.client.http import ApiRefused
from api.messages import REASONS, Language
from api.programs.refusal_words import sentence
from domain.accounts.events import Role
from tests.api.live import PASSWORD, LiveApi, Person
from tests.client.owl import Owl


@pytest.fixture
def owl(api: LiveApi, user: Person, tmp_path: Path) -> Owl:
    return Owl(api.url, tmp_path / "user").log_in(user)


@pytest.fixture
def boss(api: LiveApi, admin: Person, tmp_path: Path) -> Owl:
    return Owl(api.url, tmp_path / "admin").log_in(admin)


@pytest.mark.parametrize(
    ("role", "command", "who_may"),
    [
        ("user", ("codes", "create", "5"), "administrators"),
        ("user", ("gpu", "enroll", "rack-1"), "administrators"),
        ("user", ("codes", "list"), "administrators and auditors"),
        ("user", ("tasks", "list", "--user", "all"), "administrators and auditors"),
        ("auditor", ("codes", "create", "5"), "administrators"),
        ("auditor", ("tasks", "submit", "test"), "users and administrators"),
    ],
)
def test_who_is_refused_by_their_role_is_told_whose_it_is(
    api: LiveApi, tmp_path: Path, role: Role, command: tuple[str, ...], who_may: str
) -> None:
    with api.someone(role) as person:
        refused = Owl(api.url, tmp_path).log_in(person)(*command)
    assert refused.exit_code == 1
    said, to_do, standing = refused.stderr.splitlines()
    assert said.startswith(f"Error: Access denied: this is for {who_may}, ")
    assert to_do == "  sign in as one who may with `owl login`"
    assert standing.startswith(f"  you are signed in as {person.email} ({role})")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_who_is_locked_out_is_told_once_for_how_long(language: Language) -> None:
    text = REASONS["too many wrong tries"].in_language(language, retry_after_s=90)
    body = {"error_code": "RATE_LIMITED", "message": text, "details": {"retry_after_s": 90}}
    refused = ApiRefused(429, body, retry_after_s=90.0)
    assert sentence(refused, "", None, language) == f"{text} (RATE_LIMITED)"


def test_every_bad_field_is_named(owl: Owl) -> None:
    refused = owl("tasks", "submit", "video_analysis", "--config", "video_url=nonsense")
    assert refused.exit_code == 1
    assert "Error: The request is not valid (VALIDATION_ERROR)\n" in refused.stderr
    assert "  config.video_url: " in refused.stderr


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("--video-url", ("tasks", "submit", "video_analysis", "--video-url", "nonsense")),
        ("--title", ("tasks", "submit", "test", "--title", " ")),
        ("AMOUNT", ("codes", "create", "1e9")),
        ("--expires-at", ("codes", "create", "5", "--expires-at", "yesterday")),
        ("NAME", ("gpu", "enroll", " ")),
        ("--balance", ("admin", "users", "update", "{user}", "--balance", "1e9")),
        ("--email", ("register", "--email", "no-mail", "--username", "mei.li")),
    ],
)
def test_a_bad_value_is_named_as_it_was_given(
    boss: Owl, user: Person, named: str, words: tuple[str, ...]
) -> None:
    refused = boss(*(word.format(user=user.email) for word in words), typed=PASSWORD)
    assert refused.exit_code == 1
    assert f"\n  {named}: " in refused.stderr, refused.stderr


def test_an_analysis_without_a_video_names_the_options_that_give_one(owl: Owl) -> None:
    wrong = owl("tasks", "submit", "video_analysis")
    assert wrong.exit_code == 2
    assert "video_analysis needs a video: give --file or --video-url" in wrong.stderr


def test_who_has_too_little_is_told_what_is_missing_and_how_to_add_it(owl: Owl) -> None:
    video = ("--video-url", "https://example.com/a.mp4", "--estimate", "10")
    refused = owl("tasks", "submit", "video_analysis", *video)
    assert refused.exit_code == 1
    assert refused.stderr == (
        "Error: Insufficient balance: recharge, or give a shorter estimated_duration; its price"
        " is held, and what is unused comes back (INSUFFICIENT_BALANCE)\n"
        "  ¥10.50 is to be held and ¥0.00 available, so ¥10.50 is missing: `owl redeem CODE`,"
        " or submit with fewer `--estimate MINUTES`\n"
    )
    in_chinese = owl("tasks", "submit", "video_analysis", *video, "--language", "zh")
    assert "还差 ¥10.50：请用 `owl redeem CODE` 充值，或以更短的" in in_chinese.stderr
    help_text = " ".join(owl.ok("tasks", "submit", "--help").split())
    assert "what is unused comes back" in help_text


@pytest.mark.parametrize("act", ["show", "logs", "cancel", "retry", "artifacts"])
def test_an_id_that_no_task_has_leads_to_the_list_of_those_that_are(owl: Owl, act: str) -> None:
    unknown = owl("tasks", act, "01a20370-b0be-7122-8728-d9e4135c8227")
    assert unknown.exit_code == 1
    assert "\n  `owl tasks list` shows the ids\n" in unknown.stderr
    in_chinese = owl("tasks", act, "01a20370-b0be-7122-8728-d9e4135c8227", "--language", "zh")
    assert "\n  用 `owl tasks list` 可查看编号\n" in in_chinese.stderr
    no_id = owl("tasks", act, "first")
    assert no_id.exit_code == 2
    assert "'first' is no id: `owl tasks list` shows the ids" in no_id.stderr
