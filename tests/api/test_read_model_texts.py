"""What cannot be done with a read model is told in two languages, with what to do."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from api.read_model_texts import WHY_NOT, why_not
from projections.not_possible import NotPossible, Why

PLACES = re.compile(r"{(\w+)}")


@pytest.mark.parametrize("why", get_args(Why))
def test_each_reason_has_its_sentence_in_both_languages(why: Why) -> None:
    text = WHY_NOT[why]
    names = set(PLACES.findall(text.zh))
    assert names == set(PLACES.findall(text.en))
    about = {name: 7 for name in names if name != "name"}
    told = why_not(NotPossible("tasks", why, **about))
    assert "tasks" in told.zh
    assert "tasks" in told.en
    assert "{" not in told.zh + told.en


def test_an_option_is_told_with_its_whole_command_for_the_api_says_it_too() -> None:
    for text in WHY_NOT.values():
        for said in text:
            options = re.findall(r"--[a-z]+", said)
            assert len(re.findall(r"owl projections \w+ \{name\} --[a-z]+", said)) == len(
                options
            )
