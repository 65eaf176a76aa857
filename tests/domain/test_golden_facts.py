"""What is in logs already can be read for ever, and is still written as it was."""

import pytest
from msgspec import NODEFAULT
from msgspec.structs import fields

from domain.catalogue import BY_TAG, decode, encode
from domain.facts import Fact
from tests.domain.golden import FILE, least, lines_of, recorded, rendered, samples
from tests.domain.golden.__main__ import grown

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


def test_the_tool_adds_a_line_for_a_new_field_and_refuses_a_new_requirement() -> None:
    old = [b'{"a":1,"b":2}', b'{"a":1}', b'{"a":1,"b":0}', b'{"a":1}']
    wider = [b'{"a":1,"b":2,"c":3}', b'{"a":1}', b'{"a":1,"b":0,"c":0}']
    assert grown(old, old[:3]) == old
    assert grown(old, wider) == [*wider, b'{"a":1}', b'{"a":1,"b":2}']
    with pytest.raises(SystemExit, match="take a new tag"):
        grown(old, [b'{"a":1,"d":4}', b'{"a":1,"d":4}', b'{"a":1,"d":4}'])
