"""The bytes of every fact as they are in the log for ever: ``facts.json``.

Each tag has these lines: a sample with all fields, one with the required fields only, what the
latter is read as, defaults included, and after those the samples from before a field was added.
``python -m tests.domain.golden`` adds what is new; no line that logs may hold is ever dropped.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import NODEFAULT
from msgspec.structs import asdict, fields

from domain.catalogue import BY_TAG, encode
from domain.facts import Fact, tag_of
from tests.domain.golden.samples import SAMPLES

FILE = Path(__file__).with_name("facts.json")


def least(fact: Fact) -> Fact:
    """The same fact as its first version wrote it: required fields only."""
    required = {
        field.name: getattr(fact, field.name)
        for field in fields(fact)
        if field.default is NODEFAULT and field.default_factory is NODEFAULT
    }
    return type(fact)(**required)


def lines_of(fact: Fact) -> list[bytes]:
    """The lines of a tag to which no field was ever added."""
    small = least(fact)
    return [encode(fact), encode(small), msgspec.json.encode(asdict(small))]


def recorded() -> dict[str, list[bytes]]:
    """What the file says, byte by byte."""
    content = msgspec.json.decode(FILE.read_bytes(), type=dict[str, list[msgspec.Raw]])
    return {tag: [bytes(line) for line in lines] for tag, lines in content.items()}


def rendered(facts: dict[str, list[bytes]]) -> bytes:
    """The file's bytes: JSON, in which each inner line is as it is in the log."""
    parts = [
        b'"' + tag.encode() + b'": [\n' + b",\n".join(lines) + b"\n]"
        for tag, lines in sorted(facts.items())
    ]
    return b"{\n" + b",\n".join(parts) + b"\n}\n"


def samples() -> dict[str, Fact]:
    """The sample of each tag."""
    assert {type(fact) for fact in SAMPLES} == set(BY_TAG.values()), "a fact has no sample"
    return {tag_of(fact): fact for fact in SAMPLES}
