"""A name belongs to one user, however it is written."""

import unicodedata

import hypothesis
import pytest
from hypothesis import strategies as st

from domain.accounts.claim import (
    CLAIM,
    ClaimKind,
    EmailTaken,
    UsernameTaken,
    claim,
    mailbox,
    normalised,
    release,
)
from domain.accounts.events import NameClaimed, NameReleased
from domain.errors import Refused
from tests.domain.cast import ALICE, BOB
from tests.scenario import given

BY_ALICE = NameClaimed(kind="email", user_id=ALICE)


def test_a_free_name_is_claimed() -> None:
    given(CLAIM).when(claim, "email", user_id=ALICE).then(BY_ALICE)


def test_claiming_one_s_own_name_again_changes_nothing() -> None:
    given(CLAIM, BY_ALICE).when(claim, "email", user_id=ALICE).then_nothing()


@pytest.mark.parametrize(
    ("kind", "refusal"), [("email", EmailTaken), ("username", UsernameTaken)]
)
def test_another_s_name_cannot_be_claimed(kind: ClaimKind, refusal: type[Refused]) -> None:
    taken = NameClaimed(kind=kind, user_id=BOB)
    given(CLAIM, taken).when(claim, kind, user_id=ALICE).then_refused(refusal)


def test_a_released_name_is_free_again() -> None:
    history = (NameClaimed(kind="email", user_id=BOB), NameReleased(kind="email", user_id=BOB))
    given(CLAIM, *history).when(claim, "email", user_id=ALICE).then(BY_ALICE)


def test_a_name_is_released_by_its_owner_and_by_nobody_else() -> None:
    given(CLAIM, BY_ALICE).when(release, "email", user_id=BOB).then_nothing()
    given(CLAIM).when(release, "email", user_id=ALICE).then_nothing()
    released = NameReleased(kind="email", user_id=ALICE)
    given(CLAIM, BY_ALICE).when(release, "email", user_id=ALICE).then(released)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alice@Example.com", "alice@example.COM"),
        ("ＡＬＩＣＥ", "alice"),  # full width
        ("straße", "STRASSE"),
        ("é", "e\u0301"),
        ("ﬁona", "FIONA"),  # a ligature
        ("𝐀lice", "alice"),  # a bold A has no lower case until it is a plain one
        ("Σίσυφος", "σίσυφοσ"),  # the final sigma
        ("\u03b1\u0345", "\u1fb3"),  # iota below: folds and normal forms undo each other
        ("Å", "\u212b"),  # the unit of length
        ("用户一", "用户一"),
    ],
)
def test_names_that_look_alike_by_the_standard_are_one(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(("one", "other"), [("alice", "alíce"), ("用户", "用戶"), ("a", "а")])
def test_names_that_differ_stay_apart(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@hypothesis.given(st.text(max_size=20))
def test_each_way_to_write_a_name_leads_to_the_same_claim(name: str) -> None:
    forms = {name, name.casefold(), name.lower()}
    forms |= {unicodedata.normalize(form, name) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    forms |= {normalised(name)}
    assert {normalised(form) for form in forms} == {normalised(name)}


@pytest.mark.parametrize(
    ("read", "written"),
    [
        ("user@exämple.com", "user@xn--exmple-cua.com"),
        ("User@EXÄMPLE.com", "user@XN--EXMPLE-CUA.COM"),
        ("用户@例子.中国", "用户@xn--fsqu00a.xn--fiqs8s"),
        ("a@straße.de", "a@xn--strae-oqa.de"),
    ],
)
def test_a_mailbox_is_one_in_whichever_form_its_domain_is_written(
    read: str, written: str
) -> None:
    assert mailbox(read) == mailbox(written)
    assert mailbox(read) == normalised(read), "who has it keeps it"


@pytest.mark.parametrize(
    "address",
    [
        *("alice@example.com", "xn--exmple-cua@example.com", "no address", "", "@"),
        *("a@xn--example-.com", "a@xn--.com", "a@xn--99999999.com", "a@xn--é.com"),
        *("a@xn--ib9b.com", "a@xn--" + "9" * 240),
    ],
)
def test_what_is_no_encoded_domain_stays_as_it_is(address: str) -> None:
    assert mailbox(address) == normalised(address)


@hypothesis.given(st.text(alphabet="xn-09abiz.@ä", max_size=30))
def test_any_text_is_taken_for_a_mailbox(text: str) -> None:
    mailbox(f"a@xn--{text}").encode()  # what is none is no defect


@hypothesis.given(st.lists(st.integers(0, 4), max_size=20))
def test_a_name_has_one_owner_at_a_time(tries: list[int]) -> None:
    owners = (ALICE, BOB)
    history: list[NameClaimed | NameReleased] = []
    for choice in tries:
        held = CLAIM.fold(history)
        if choice == 4 and held.owner is not None:
            history.append(NameReleased(kind="email", user_id=held.owner))
            continue
        wisher = owners[choice % 2]
        try:
            history.extend(claim(held, "email", user_id=wisher))
        except EmailTaken:
            assert held.owner not in {None, wisher}
        else:
            assert held.owner in {None, wisher}
            assert CLAIM.fold(history).owner == wisher
