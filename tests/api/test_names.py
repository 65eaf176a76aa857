"""What people and things may be called."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.fields import EMAIL_FAULT, email_fault
from api.messages import Fault
from api.names import blank_fault, is_reserved, shows, username_fault


@pytest.mark.parametrize(
    "name",
    [
        "newuser",
        "new_username",
        "username",
        "demo",
        "爱丽丝",
        "li.lei-2",
        "猫owl",
        "ｎｅｗ",
        "алиса",
        "apl",
        "1iam",
    ],
)
def test_a_username_that_is_one(name: str) -> None:
    assert username_fault(name) is None
    assert not is_reserved(name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ab", "username"),
        ("a" * 51, "username"),
        ("has space", "username"),
        ("a\u200bbcd", "username"),
        ("a\u202ebcd", "username"),
        ("a\u00adbcd", "username"),
        ("a@b.cn", "username"),
        ("...", "username"),
        ("___", "username"),
        ("-_-", "username"),
        ("\u3164\u3164\u3164", "username"),
        ("p\u0430ypal", "mixed_scripts"),
        ("\u03bfwner", "mixed_scripts"),
    ],
)
def test_a_username_that_is_none(name: str, kind: str) -> None:
    assert username_fault(name) == Fault(kind)


@pytest.mark.parametrize(
    "name",
    [
        "admin",
        "Admin",
        "ＡＤＭＩＮ",
        "a.d.m.i.n",
        "ad_min_",
        "OWL",
        "owl-factory",
        "r00t",
        "root",
        "adm\u0131n",
        "\u0251dmin",
        "adm1n",
        "0w1",
        "nu11",
        "off1c1a1",
        "\u0455\u0443\u0455\u0442\u0435\u043c",
        "管理员",
        "客服",
    ],
)
def test_the_names_of_offices_are_reserved(name: str) -> None:
    assert is_reserved(name)


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "\t\n",
        "\u3000",
        "\u00a0",
        "\u200b",
        "\u200d\u2060",
        "\ufeff",
        "\u3164",
        "\u2800",
        "\u115f",
        "\u0301",
        "\ufe0f",
        "\u200e \u200f",
        "\U000e0041",
    ],
)
def test_a_text_that_shows_nothing_is_none(text: str) -> None:
    assert blank_fault(text) == Fault("blank")
    assert blank_fault(f"x{text}") is None


def test_no_text_at_all_is_for_the_length_to_judge() -> None:
    assert blank_fault("") is None


@given(st.text())
def test_whatever_holds_a_letter_or_digit_of_ascii_shows(text: str) -> None:
    assert shows(text + "a")
    assert shows(unicodedata.normalize("NFD", text) + "1")


@pytest.mark.parametrize(
    "email",
    ["user@example.com", "a.b+c@sub.example.co", "用户@例子.公司", "o'neil@example.com"],
)
def test_an_address_that_is_one(email: str) -> None:
    assert email_fault(email) is None


@pytest.mark.parametrize(
    "email",
    [
        "a\u200bb@example.com",
        "<a>@example.com",
        "a,b@example.com",
        "a;b@example.com",
        '"a"@example.com',
        "a\\b@example.com",
        "a(b)@example.com",
        "a@[127.0.0.1].cn",
        "a@-b.com",
        "a@" + "b" * 64 + ".com",
        "a@exa_mple.com",
        "\u0430lice@example.com",
        "a@ex\u0430mple.com",
        ".a@example.com",
        "a..b@example.com",
        "a.@example.com",
    ],
)
def test_an_address_that_is_none(email: str) -> None:
    assert email_fault(email) == EMAIL_FAULT
