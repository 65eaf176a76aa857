"""Each action of a user has a name in both languages."""

from api.action_texts import ACTIONS, title
from domain.facts import tag_of
from projections import user_actions


def test_every_action_has_its_name() -> None:
    assert ACTIONS.keys() == {tag_of(fact) for fact in user_actions.ACTIONS}


def test_an_action_is_named_in_the_reader_s_language() -> None:
    assert title("accounts.user_logged_in/1", "zh") == "登录"
    assert title("accounts.user_logged_in/1", "en") == "Logged in"
    assert title("accounts.something_new/2", "zh") == "accounts.something_new/2"
