"""Several people at one terminal, or one person in several roles: a login for each profile."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest

from api.programs.local_farm import farm_told
from tests.api.live import PASSWORD, LiveApi, Person, ok
from tests.client.owl import Owl


@pytest.fixture
def owl(api: LiveApi, tmp_path: Path) -> Owl:
    return Owl(api.url, tmp_path)


def log_in(owl: Owl, person: Person, *profile: str) -> str:
    given = ("login", "--email", person.email, "--password-stdin", *profile)
    result = owl(*given, typed=PASSWORD)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_each_profile_is_signed_in_by_itself(owl: Owl, user: Person, admin: Person) -> None:
    log_in(owl, user)
    assert "(profile boss)" in log_in(owl, admin, "--profile", "boss")
    assert owl.json("me")["email"] == user.email
    assert owl.json("me", "--profile", "boss")["email"] == admin.email
    owl.ok("logout", "--profile", "boss")
    assert owl("me", "--profile", "boss").exit_code == 1
    assert owl.json("me")["email"] == user.email


def test_who_never_signed_in_has_nothing_to_forget(owl: Owl, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("session*"))
    assert "no token for " in owl.ok("logout", "--profile", "nobody")
    assert sorted(tmp_path.rglob("session*")) == before


def test_a_profile_can_be_chosen_for_a_whole_terminal(
    owl: Owl, user: Person, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(owl, user)
    monkeypatch.setenv("OWL_API_PROFILE", "boss")
    log_in(owl, admin)
    assert owl.json("me")["email"] == admin.email
    monkeypatch.delenv("OWL_API_PROFILE")
    assert owl.json("me")["email"] == user.email


def test_a_new_profile_goes_where_one_signed_in_last(
    api: LiveApi, user: Person, admin: Person, tmp_path: Path
) -> None:
    log_in(Owl(api.url, tmp_path), user)
    log_in(Owl("", tmp_path), admin, "--profile", "boss")
    asked = Owl("", tmp_path).json("me", "--profile", "boss")
    assert asked["email"] == admin.email


def test_the_api_that_runs_here_is_found_without_being_named(
    api: LiveApi, user: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / ".owl"
    monkeypatch.setenv("OWL_DATA_DIR", str(here))
    here.mkdir()
    with farm_told(here, f"{api.url}/api", ()):
        newcomer = Owl("", tmp_path / "newcomer")
        log_in(newcomer, user)
        assert newcomer.json("me")["email"] == user.email
        lost = newcomer("me", "--api", "http://127.0.0.1:9")
        assert lost.exit_code == 3
        assert f"`owl up` runs here, with its API at {api.url}/api" in lost.stderr


def test_the_api_that_runs_here_is_found_when_its_port_has_changed(
    api: LiveApi, user: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has the port of before is another program, or none."""
    here = tmp_path / ".owl"
    monkeypatch.setenv("OWL_DATA_DIR", str(here))
    here.mkdir()
    log_in(Owl(api.url, tmp_path), user)
    someone = Owl("", tmp_path)
    with farm_told(here, "http://localhost:9/api", ()):
        moved = someone("me")
        assert moved.exit_code == 3
        assert "http://localhost:9/api" in moved.stderr
        login = someone("login", "--email", user.email, "--password-stdin", typed=PASSWORD)
        assert "http://localhost:9/api" in login.stderr, "it is not looked for where it was"
    with farm_told(here, f"{api.url}/api".replace("127.0.0.1", "localhost"), ()):
        assert someone.json("me")["email"] == user.email, "another name of it is no other farm"
    assert someone.json("me")["email"] == user.email


def test_who_takes_anothers_place_is_told_how_to_keep_both(
    owl: Owl, user: Person, admin: Person
) -> None:
    log_in(owl, user)
    again = log_in(owl, user)
    assert "--profile" not in again
    told = log_in(owl, admin)
    assert f"{user.email} is signed out here" in told
    assert "--profile NAME" in told


@pytest.mark.parametrize("name", ["", "../x", "a b", "x" * 33])
def test_a_profile_is_a_short_word(owl: Owl, name: str) -> None:
    wrong = owl("me", "--profile", name)
    assert wrong.exit_code == 2
    assert "--profile" in wrong.stderr


def test_who_is_not_signed_in_is_told_where_and_as_whom(owl: Owl, user: Person) -> None:
    outside = owl("me")
    assert outside.exit_code == 1
    assert "you are not signed in to http://127.0.0.1:" in outside.stderr
    assert "`owl login`" in outside.stderr
    log_in(owl, user)
    refused = owl("codes", "list")
    assert f"you are signed in as {user.email} (user) to http://127.0.0.1:" in refused.stderr


def test_a_password_that_is_piped_in_is_read_without_a_word(owl: Owl, user: Person) -> None:
    signed_in = owl("login", "--email", user.email, typed=f"{PASSWORD}\n")
    assert signed_in.exit_code == 0, signed_in.output
    assert "Password" not in signed_in.output
    assert "Warning" not in signed_in.output


def test_no_password_at_all_is_a_wrong_call(owl: Owl, user: Person) -> None:
    for given in ((), ("--password-stdin",)):
        wrong = owl("login", "--email", user.email, *given)
        assert wrong.exit_code == 2
        assert "no password on standard input" in wrong.stderr


def test_what_is_for_good_wants_a_word_where_nobody_can_be_asked(
    owl: Owl, user: Person
) -> None:
    log_in(owl, user)
    task_id = owl.json("tasks", "submit", "test")["id"]
    unsaid = owl("tasks", "delete", task_id)
    assert unsaid.exit_code == 2
    assert "--yes" in unsaid.stderr
    owl.ok("tasks", "show", task_id)
    owl.ok("tasks", "delete", task_id, "--yes")


@pytest.fixture
def stranger() -> Iterator[str]:
    """Another program on the port: it answers everything, and knows nothing of us."""

    class Page(BaseHTTPRequestHandler):
        said: ClassVar[bytes] = b'{"detail": "Not Found"}'

        def do_GET(self) -> None:
            self.send_response(404)
            self.send_header("Content-Length", str(len(self.said)))
            self.end_headers()
            self.wfile.write(self.said)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()
        thread.join()


def test_another_program_at_the_address_is_told_from_ours(
    stranger: str, tmp_path: Path
) -> None:
    asked = Owl(stranger, tmp_path)("me")
    assert asked.exit_code == 3
    assert f"another program answers at {stranger}" in asked.stderr
    assert "--api" in asked.stderr


@pytest.mark.parametrize(("ours", "verdict"), [(True, "ok"), (False, "note")])
def test_the_doctor_tells_owl_itself_at_its_port_from_another_program(
    api: LiveApi,
    stranger: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    ours: bool,
    verdict: str,
) -> None:
    port = urlsplit(api.url if ours else stranger).port
    monkeypatch.setenv("OWL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("OWL_HOST", "127.0.0.1")
    monkeypatch.setenv("OWL_PORT", str(port))
    said = json.loads(Owl(api.url, tmp_path)("doctor", "--json").stdout)
    (found,) = (each for each in said if each["about"] == "port")
    assert found["verdict"] == verdict
    assert found["says"].startswith(f"127.0.0.1:{port}")
    assert ("Owl itself" in found["says"]) is ours


def test_a_hint_to_sign_in_names_the_profile_in_use(owl: Owl, user: Person) -> None:
    outside = owl("me", "--profile", "boss")
    assert outside.exit_code == 1
    assert "`owl login --profile boss`" in outside.stderr
    assert "`owl profiles` shows the logins kept here" in outside.stderr
    log_in(owl, user, "--profile", "plain")
    refused = owl("codes", "list", "--profile", "plain")
    assert "sign in as one who may with `owl login --profile plain`" in refused.stderr


def test_the_profiles_are_listed_and_no_token_with_them(
    owl: Owl, user: Person, admin: Person
) -> None:
    assert owl.json("profiles") == []
    log_in(owl, user)
    log_in(owl, admin, "--profile", "boss")
    first, second = owl.json("profiles")
    assert (first["profile"], first["email"], first["signed_in"]) == (None, user.email, True)
    assert (second["profile"], second["email"]) == ("boss", admin.email)
    assert "token" not in first
    shown = owl.ok("profiles")
    assert user.email in shown
    assert "boss" in shown


def change_password(person: Person) -> None:
    body = {"current_password": PASSWORD, "new_password": f"{PASSWORD}!"}
    ok(person.client.post("/api/users/change-password", json=body))


def test_a_login_that_the_api_takes_no_longer_is_said_to_be_over(
    api: LiveApi, owl: Owl
) -> None:
    with api.someone() as person:
        log_in(owl, person)
        change_password(person)
        for _ in range(2):
            refused = owl("me")
            assert refused.exit_code == 1
            assert "Invalid credentials: log in again" in refused.stderr
            assert f"your login as {person.email} to http://127.0.0.1:" in refused.stderr
            assert "is no longer taken" in refused.stderr
            assert "you are signed in" not in refused.stderr
        in_chinese = owl("me", "--language", "zh").stderr
        assert f"{person.email} 在 http://127.0.0.1:" in in_chinese
        assert "已失效" in in_chinese


def test_the_profiles_say_which_logins_are_over_and_how_to_get_a_new_one(
    api: LiveApi, owl: Owl, user: Person
) -> None:
    log_in(owl, user)
    with api.someone() as person:
        log_in(owl, person, "--profile", "old")
        change_password(person)
        owl("me", "--profile", "old")
    mine, theirs = owl.json("profiles")
    assert (mine["signed_in"], theirs["signed_in"]) == (True, False)
    assert "over: `owl login --profile old`" in owl.ok("profiles")
    assert "已失效：`owl login --profile old`" in owl.ok("profiles", "--language", "zh")


def test_a_wrong_password_leaves_the_login_that_there_is(owl: Owl, user: Person) -> None:
    log_in(owl, user)
    wrong = owl("login", "--email", user.email, "--password-stdin", typed="wrong-one")
    assert wrong.exit_code == 1
    assert owl.json("me")["email"] == user.email


def test_that_nobody_is_signed_in_is_said_in_ones_language(
    owl: Owl, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert owl.ok("profiles") == "nobody is signed in here: `owl login`\n"
    monkeypatch.setenv("OWL_API_LANGUAGE", "zh")
    assert owl.ok("profiles") == "这里没有登录：请用 `owl login` 登录\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("login",), "标准输入不是终端：请给出 --email"),
        (("login", "--email", "a@example.com"), "标准输入中没有密码"),
        (("tasks", "delete", "01a20370-b0be-7122-8728-d9e4135c8227"), "请加 --yes"),
    ],
)
def test_what_needs_a_terminal_says_so_in_ones_language(
    owl: Owl, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    assert said in owl(*arguments, "--language", "zh").stderr
    monkeypatch.setenv("OWL_API_LANGUAGE", "zh")
    assert said in owl(*arguments).stderr
