"""Where tokens lie, and to whom they are shown."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.client.http import api_url_of
from api.client.session import Session, SessionFile, Sessions

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HERE, THERE = "http://localhost:8000/api", "https://owl.example.com/api"
SESSION = Session(token="t", expires_at=NOON, email="a@example.com", role="user")


def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    file = SessionFile(tmp_path / "owl-factory")
    file.save(Sessions().opened(HERE, SESSION))
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert file.load().by_url == {HERE: SESSION}
    assert list(file.path.parent.iterdir()) == [file.path]


def test_a_file_that_others_could_read_becomes_private_again(tmp_path: Path) -> None:
    file = SessionFile(tmp_path)
    file.path.write_text("{}")
    file.path.chmod(0o644)
    file.save(Sessions().opened(HERE, SESSION))
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "{", "[]", '{"by_url": 1}'])
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    file = SessionFile(tmp_path)
    file.path.write_text(content)
    assert file.load() == Sessions()


def test_a_login_elsewhere_keeps_the_one_here() -> None:
    sessions = Sessions().opened(HERE, SESSION).opened(THERE, SESSION)
    assert sessions.current == THERE
    assert sessions.closed(THERE).by_url == {HERE: SESSION}


def test_a_session_ends_when_its_token_does() -> None:
    user = {"email": "a@example.com", "role": "user"}
    answer = {"access_token": "t", "expires_in": 1800, "user": user}
    assert Session.of(answer, now=NOON).expires_at == NOON + timedelta(minutes=30)


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("http://localhost:8000", HERE),
        ("http://localhost:8000/", HERE),
        (" http://localhost:8000/api/ ", HERE),
        ("https://owl.example.com/farm/api", "https://owl.example.com/farm/api"),
    ],
)
def test_an_address_is_taken_with_or_without_its_ending(typed: str, address: str) -> None:
    assert api_url_of(typed) == address


@pytest.mark.parametrize("typed", ["", "localhost:8000", "ftp://localhost", "http://"])
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        api_url_of(typed)
