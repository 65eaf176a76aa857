"""What is in logs already can be read for ever, and is still written as it was."""

import pytest
from msgspec import NODEFAULT
from msgspec.structs import fields

from domain.catalogue import BY_TAG, decode, encode
from domain.facts import Fact
from tests.domain.golden import FILE, least, lines_of, recorded, rendered, samples

GOLDEN = recorded()
SAMPLES = samples()
ADD = "python -m tests.domain.golden"


def test_every_tag_has_its_golden_lines() -> None:
    assert sorted(GOLDEN) == sorted(BY_TAG), f"a new fact? add its lines: {ADD}"


def test_the_file_is_written_as_the_tool_writes_it() -> None:
    assert FILE.read_bytes() == rendered(GOLDEN)


@pytest.mark.parametrize("tag", sorted(SAMPLES))
def test_a_fact_is_written_as_it_always_was(tag: str) -> None:
    assert GOLDEN[tag][:3] == lines_of(SAMPLES[tag]), f"a new field? add its line: {ADD}"


@pytest.mark.parametrize("tag", sorted(SAMPLES))
def test_a_fact_is_read_as_it_was_meant(tag: str) -> None:
    whole, required_only, _, *from_before = GOLDEN[tag]
    assert decode(whole) == SAMPLES[tag]
    assert decode(required_only) == least(SAMPLES[tag])
    assert [encode(decode(line)) for line in from_before] == from_before


@pytest.mark.parametrize("fact", SAMPLES.values(), ids=SAMPLES)
def test_a_sample_fills_in_every_field(fact: Fact) -> None:
    left_out = [
        field.name
        for field in fields(fact)
        if (field.default is not NODEFAULT and getattr(fact, field.name) == field.default)
        or (field.default_factory is not NODEFAULT and not getattr(fact, field.name))
    ]
    assert left_out == [], "fill them in, in tests/domain/golden/samples.py"
