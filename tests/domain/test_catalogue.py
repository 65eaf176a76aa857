"""The catalogue knows every fact by its tag, and stops at what it does not know."""

import re

import msgspec
import pytest

from domain.accounts.events import ProfileChanged, UserLoggedIn, UserRegistered
from domain.catalogue import (
    BUSINESS,
    BY_TAG,
    TELEMETRY,
    decode,
    encode,
    personal_fields,
    private_fields,
    subject_of,
)
from domain.facts import Fact, tag_of
from domain.recharge.events import CodeRedeemed
from domain.tasks.events import TaskSubmitted
from tests.domain.cast import redeemed, registered

TAG = re.compile(r"[a-z]+\.[a-z]+(_[a-z]+)*/\d+")


def test_every_fact_has_a_tag_of_its_own() -> None:
    assert len(BY_TAG) == len(BUSINESS) + len(TELEMETRY)
    assert all(TAG.fullmatch(tag) for tag in BY_TAG)
    assert set(every_kind_of(Fact)) == set(BY_TAG.values())


def every_kind_of(kind: type[Fact]) -> list[type[Fact]]:
    kinds = [each for below in kind.__subclasses__() for each in (below, *every_kind_of(below))]
    return [each for each in kinds if not each.__module__.startswith("tests.")]


@pytest.mark.parametrize("fact", BY_TAG.values(), ids=BY_TAG)
def test_a_fact_is_frozen_and_says_which_kind_it_is(fact: type[Fact]) -> None:
    config = fact.__struct_config__
    assert (config.frozen, config.omit_defaults, config.tag_field) == (True, True, "type")
    assert tag_of(fact) == config.tag


def test_what_is_written_is_read() -> None:
    assert decode(encode(redeemed())) == redeemed()
    assert b'"type":"recharge.code_redeemed/1"' in encode(redeemed())


@pytest.mark.parametrize(
    "state",
    [
        b'{"type":"recharge.code_melted/1"}',
        b'{"type":"recharge.code_revoked/1"}',
        b'{"type":"recharge.code_revoked/1","code_id":7}',
        b"{}",
        b"",
    ],
    ids=["unknown tag", "missing field", "wrong type", "no tag", "no bytes"],
)
def test_what_is_not_known_is_never_skipped(state: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode(state)


def test_a_field_that_a_later_version_added_does_not_stop_an_older_reader() -> None:
    state = encode(registered())[:-1] + b',"shoe_size":42}'
    assert decode(state) == registered()


def test_what_is_personal_is_known_of_each_fact() -> None:
    assert personal_fields(UserRegistered) == ("email", "username", "full_name")
    assert personal_fields(UserLoggedIn) == ("address",)
    assert personal_fields(ProfileChanged) == ("full_name", "username")
    assert personal_fields(CodeRedeemed) == ()
    assert private_fields(TaskSubmitted) == ("title", "description")
    assert personal_fields(TaskSubmitted) == ()


def test_every_fact_with_something_personal_says_whose_it_is() -> None:
    personal = [
        fact for fact in BY_TAG.values() if personal_fields(fact) + private_fields(fact)
    ]
    assert len(personal) == 5
    assert all("user_id" in fact.__struct_fields__ for fact in personal)


@pytest.mark.parametrize(
    ("tag", "subject"),
    [
        ("recharge.code_redeemed/1", "owl.events.recharge.code_redeemed"),
        ("tasks.task_started/2", "owl.events.tasks.task_started_v2"),
    ],
)
def test_a_tag_says_where_its_events_travel(tag: str, subject: str) -> None:
    assert subject_of(tag) == subject
