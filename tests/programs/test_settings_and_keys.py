"""Settings and keys: what is wrong is named, what is there is never touched."""

from pathlib import Path

import pytest

from api.keys import NAMES, KeysMissing, load_keys, make_keys
from api.settings import SettingsInvalid, load


def test_settings_come_from_owl_variables_and_options_win() -> None:
    settings = load({"OWL_PORT": "9000", "OWL_PROFILE": "dev", "HOME": "/"}, port=9001)
    assert (settings.port, settings.profile) == (9001, "dev")


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert load({"OWL_DATABASE_URL": ""}).database_url is None


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OWL_PROT": "9000"}, "unknown setting OWL_PROT"),
        ({"OWL_PORT": "many"}, "Expected `int`"),
        ({"OWL_PROFILE": "staging"}, "Invalid enum value 'staging'"),
        ({"OWL_PROFILE": "dev", "OWL_HOST": "0.0.0.0"}, "must not listen on 0.0.0.0"),
        ({"OWL_TRUSTED_PROXIES": "10.0.0.1, *"}, "OWL_TRUSTED_PROXIES: '\\*' does not appear"),
        ({"OWL_TRUSTED_PROXIES": "10.0.0.1/8"}, "OWL_TRUSTED_PROXIES: .* has host bits set"),
        ({"OWL_FETCH_NETWORKS": "nas"}, "OWL_FETCH_NETWORKS: 'nas' does not appear"),
        ({"OWL_AGENT_ALLOW_NETWORK": "nas"}, "OWL_AGENT_ALLOW_NETWORK: 'nas' does not appear"),
    ],
)
def test_a_wrong_setting_is_named(variables: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsInvalid, match=said):
        load(variables)


def test_what_an_agent_here_may_fetch_from_may_be_named_in_tasks() -> None:
    theirs = {"OWL_AGENT_ALLOW_NETWORK": "10.1.0.0/16 fd00::/8"}
    assert [str(network) for network in load(theirs).networks_to_fetch_from] == [
        "10.1.0.0/16",
        "fd00::/8",
    ]
    own = load(theirs | {"OWL_FETCH_NETWORKS": "10.2.0.0/16, 10.3.0.1"}).networks_to_fetch_from
    assert [str(network) for network in own] == ["10.2.0.0/16", "10.3.0.1/32"]
    assert load({}).networks_to_fetch_from == ()


def test_a_password_is_shortest_in_the_dev_profile_only() -> None:
    lengths = [load({"OWL_PROFILE": name}).shortest_password for name in ("dev", "production")]
    assert lengths == [6, 8]


def test_keys_are_made_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "secrets"
    assert set(make_keys(directory)) == set(NAMES)
    keys = load_keys(directory, make=False)
    assert make_keys(directory) == []
    assert load_keys(directory, make=True) == keys
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_key_is_named_with_what_to_do(tmp_path: Path, name: str) -> None:
    make_keys(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(KeysMissing, match=rf"{name} is missing: run `owl keys make"):
        load_keys(tmp_path, make=False)


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    make_keys(tmp_path)
    (tmp_path / "pepper").write_text("00ff\n")
    with pytest.raises(KeysMissing, match="too short"):
        load_keys(tmp_path, make=False)
