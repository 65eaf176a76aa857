"""``owl`` for daily use, against a live API: what is shown, what is JSON, how it ends."""

import json
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.api.live import LiveApi, Person
from tests.client.owl import Owl
from tests.client.played_farm import PlayedFarm

NOWHERE = "http://127.0.0.1:9/api"


@pytest.fixture
def owl(api: LiveApi, user: Person, tmp_path: Path) -> Owl:
    return Owl(api.url, tmp_path / "user").log_in(user)


@pytest.fixture
def boss(api: LiveApi, admin: Person, tmp_path: Path) -> Owl:
    return Owl(api.url, tmp_path / "admin").log_in(admin)


def test_a_piped_password_is_never_taken_for_another_answer(
    api: LiveApi, tmp_path: Path
) -> None:
    owl = Owl(api.url, tmp_path)
    nameless = owl("register", "--email", "piped@example.com", typed="secret1\n")
    assert nameless.exit_code == 2
    assert "standard input is no terminal: give --username" in nameless.stderr
    unnamed = owl("login", typed="secret1\n")
    assert unnamed.exit_code == 2
    assert "standard input is no terminal: give --email" in unnamed.stderr


def test_a_newcomer_registers_signs_in_and_out(api: LiveApi, tmp_path: Path) -> None:
    owl = Owl(api.url, tmp_path)
    name = ("--email", "new@example.com", "--password-stdin")
    assert owl("register", *name, "--username", "newcomer", typed="secret1").exit_code == 0
    signed_in = owl("login", *name, typed="secret1")
    assert "signed in to" in signed_in.stdout
    file = tmp_path / "owl-factory" / "session.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "newcomer" in owl.ok("me")
    owl.ok("logout")
    outside = owl("me")
    assert outside.exit_code == 1
    assert "`owl login`" in outside.stderr


def test_a_wrong_password_is_said_once_without_advice_to_log_in(owl: Owl, user: Person) -> None:
    wrong = owl("login", "--email", user.email, "--password-stdin", typed="wrong-one")
    assert wrong.exit_code == 1
    assert "Wrong e-mail address or password" in wrong.stderr
    assert "owl login" not in wrong.stderr


def test_a_token_is_never_sent_to_another_address(owl: Owl) -> None:
    elsewhere = owl("me", "--api", NOWHERE)
    assert elsewhere.exit_code == 3
    assert "does not answer" in elsewhere.stderr


def test_money_comes_by_code_and_is_shown_to_the_fen(owl: Owl, boss: Owl) -> None:
    batch = boss.json("codes", "create", "88.80", "--count", "2", "--description", "spring")
    assert batch["total_amount"] == 177.6
    code = batch["codes"][0]["code"]
    assert "¥88.80 added: the balance is ¥88.80 now" in owl.ok("redeem", code.lower())
    assert "¥88.80" in owl.ok("me")
    records = owl.ok("records")
    assert "spring" in records
    assert code not in records
    again = owl("redeem", code)
    assert again.exit_code == 1
    assert "(CODE_ALREADY_REDEEMED)" in again.stderr


def test_an_administrator_lists_reveals_and_revokes_codes(owl: Owl, boss: Owl) -> None:
    code = boss.json("codes", "create", "5")["codes"][0]
    listed = {found["id"]: found for found in boss.json("codes", "list")["items"]}
    assert listed[code["id"]]["code"] != code["code"]
    assert code["id"] in boss.ok("codes", "list", "--status", "active")
    assert boss.ok("codes", "reveal", code["id"]).strip() == code["code"]
    boss.ok("codes", "revoke", code["id"])
    assert "(CODE_REVOKED)" in owl("redeem", code["code"]).stderr


def test_a_failure_is_json_where_json_was_asked_for(owl: Owl) -> None:
    refused = owl("redeem", "OWL-2222-2222-2222", "--json")
    assert refused.exit_code == 1
    assert refused.stdout == ""
    failure = json.loads(refused.stderr)
    assert failure["error_code"] == "RESOURCE_NOT_FOUND"
    assert failure.keys() == {"success", "message", "error_code", "details"}


def test_sentences_come_in_chinese_to_who_wants_them(owl: Owl) -> None:
    said = "No such recharge code: check it and enter it again (RESOURCE_NOT_FOUND)"
    assert owl("redeem", "OWL-2222-2222-2222").stderr.strip() == f"Error: {said}", "once"
    assert "充值码不存在" in owl("redeem", "OWL-2222-2222-2222", "--language", "zh").stderr


def test_what_helps_after_a_refusal_is_in_the_language_of_its_sentence(owl: Owl) -> None:
    refused = owl("gpu", "enroll", "rack-1", "--language", "zh").stderr
    assert "仅限管理员" in refused
    assert "\n  请用 `owl login` 以有此权限的身份登录\n  当前以 " in refused
    nobody = owl("me", "--profile", "nobody", "--language", "zh").stderr
    assert re.search(r"\n  尚未登录 http\S+（登录档 nobody）\n", nobody)


@pytest.mark.parametrize(
    "arguments",
    [
        ("tasks", "show", "no-uuid"),
        ("tasks", "submit"),
        ("tasks", "submit", "test", "--priority", "9"),
        ("tasks", "submit", "test", "--config", "no-pair"),
        ("me", "--api", "nonsense"),
        ("nothing",),
    ],
)
def test_a_wrong_call_is_2(owl: Owl, arguments: tuple[str, ...]) -> None:
    assert owl(*arguments).exit_code == 2


def test_a_task_is_submitted_listed_shown_cancelled_run_again_and_deleted(owl: Owl) -> None:
    order = ("--title", "第一个任务", "--config", "seconds=0.5", "--config", "fail=false")
    task = owl.json("tasks", "submit", "test", *order, "--priority", "3", "--estimate", "5")
    assert owl.json("tasks", "show", task["id"])["config"] == {"seconds": 0.5, "fail": False}
    shown = owl.ok("tasks", "show", task["id"])
    assert "第一个任务" in shown
    assert "place 1 in the queue" in shown
    assert task["id"] in owl.ok("tasks", "list", "--status", "pending", "--type", "test")
    assert owl.json("tasks", "list", "--status", "failed")["items"] == []
    assert "is cancelled" in owl.ok("tasks", "cancel", task["id"])
    assert "waits for attempt 2" in owl.ok("tasks", "retry", task["id"])
    owl.ok("tasks", "delete", task["id"], "--yes")
    assert owl("tasks", "show", task["id"]).exit_code == 1


def test_the_log_tells_what_happened_and_what_the_task_wrote(
    owl: Owl, farm: PlayedFarm
) -> None:
    task_id = UUID(owl.json("tasks", "submit", "test")["id"])
    farm.start(task_id)
    farm.write(task_id, "first \x1b[31mline", "second line")
    wait_until(lambda: "second line" in owl.ok("tasks", "logs", str(task_id)))
    farm.complete(task_id)
    text = owl.ok("tasks", "logs", "--follow", str(task_id))
    assert text.count("second line") == 1
    assert "\x1b" not in text
    lines = [
        json.loads(line)
        for line in owl.ok("tasks", "logs", str(task_id), "--json").splitlines()
    ]
    assert {line["source"] for line in lines} == {"event", "output"}
    assert len(lines) == len(text.splitlines())


def test_files_of_a_task_are_written_whole_or_not_at_all(
    api: LiveApi, owl: Owl, farm: PlayedFarm, tmp_path: Path
) -> None:
    task_id = UUID(owl.json("tasks", "submit", "test")["id"])
    farm.start(task_id)
    files = {"thumbnail-01.jpg": b"first" * 9_999, "thumbnail-02.jpg": b"second"}
    farm.complete(task_id, files=files)
    assert "thumbnail-01.jpg" in owl.ok("tasks", "artifacts", str(task_id))
    into = tmp_path / "deep" / "results"
    owl.ok("tasks", "artifacts", str(task_id), "--into", str(into))
    assert {path.name: path.read_bytes() for path in into.iterdir()} == files
    api.files._files[api.files.put(b"second")] = b"spoilt"
    (into / "thumbnail-02.jpg").unlink()
    damaged = owl("tasks", "artifacts", str(task_id), "--into", str(into))
    assert damaged.exit_code == 1
    assert "arrived damaged" in damaged.stderr
    assert [path.name for path in into.iterdir()] == ["thumbnail-01.jpg"]


def test_the_farm_is_shown_at_a_glance(owl: Owl, farm: PlayedFarm) -> None:
    farm.beat()
    wait_until(lambda: " 86 % gpu" in owl.ok("gpu", "top", "--once"))
    shown = owl.ok("gpu", "top")
    for wanted in (
        "GPU-Server-01",
        "online",
        "1: NVIDIA H200",
        "10.2/12.0 GiB",
        "61 °C",
    ):
        assert wanted in shown, shown
    asked = owl.json("gpu", "top")
    assert asked.keys() == {"overview", "servers", "statuses"}


def test_an_administrator_lets_a_server_in(boss: Owl) -> None:
    shown = boss.ok("gpu", "enroll", "GPU 服务器 2", "--slots", "4")
    start = shown.splitlines()[-1]
    assert start.startswith("OWL_AGENT_TOKEN=owl_")
    assert " owl-agent run --api-url http://127.0.0.1:" in start


def wait_until(condition: Callable[[], Any], deadline_s: float = 20) -> None:
    """Until what was told to the telemetry log can be read."""

    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "it never came true"
