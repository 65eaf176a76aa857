"""The published contract as a list of samples: every fenced block, with where it stands."""

import re
from pathlib import Path
from typing import NamedTuple

from tests.house.tree import ROOT

DOCUMENT = ROOT / "docs" / "contract" / "owl-factory-api-v0.10.0.md"
ANSWER = "**响应**:"


class Sample(NamedTuple):
    """``headings`` from the chapter down; ``lead`` is the text right above the fence."""

    language: str
    text: str
    headings: tuple[str, ...]
    lead: str
    line: int

    @property
    def heading(self) -> str:
        return self.headings[-1]


class Request(NamedTuple):
    """An ``http`` sample with a request line."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


class Exchange(NamedTuple):
    """A request and, where one is printed, its answer."""

    heading: str
    request: Request
    answer: Sample | None


def samples(document: Path = DOCUMENT) -> list[Sample]:
    """All fenced blocks in order."""
    found: list[Sample] = []
    headings: list[str] = []
    block: list[str] = []
    lead, language, began = "", None, 0
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            if language is None:
                language, block, began = line[3:].strip(), [], number
            else:
                text = "\n".join(block)
                found.append(Sample(language, text, tuple(headings), lead, began))
                language, lead = None, ""
        elif language is not None:
            block.append(line)
        elif heading := re.match(r"(#+) (.+)", line):
            headings[len(heading[1]) - 1 :] = [heading[2].strip()]
            lead = ""
        elif line.strip():
            lead = line.strip()
    assert language is None, "a fence is never closed"
    return found


def request_of(text: str) -> Request | None:
    """The request that an ``http`` sample prints, ``None`` when it is a header alone."""
    head, _, body = text.partition("\n\n")
    first, *rest = head.splitlines()
    if not (line := re.fullmatch(r"(GET|POST|PUT|DELETE) (/\S+)", first)):
        return None
    headers = dict(header.split(": ", 1) for header in rest)
    return Request(line[1], line[2], headers, body)


def exchanges() -> list[Exchange]:
    """Every printed request, with its printed answer."""
    found: list[Exchange] = []
    for sample in samples():
        if sample.language == "http" and (request := request_of(sample.text)):
            found.append(Exchange(sample.heading, request, None))
        elif sample.lead == ANSWER:
            assert found[-1].heading == sample.heading, "an answer follows its request"
            found[-1] = found[-1]._replace(answer=sample)
    return found


def one(language: str, heading: str) -> Sample:
    """The only sample of a language under a heading."""
    [sample] = [
        sample
        for sample in samples()
        if (sample.language, sample.heading) == (language, heading)
    ]
    return sample
