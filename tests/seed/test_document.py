"""The document itself: never edited, and no sample in it without a test."""

import hashlib
import re

from tests.seed.document import DOCUMENT, exchanges, request_of, samples
from tests.seed.test_answers import ENVELOPES
from tests.seed.test_programs import PROGRAMS
from tests.seed.world import SCENES

DIGEST = "5e93618e4dc31549ca6da6263afd9586d82293592cb53df8ccd3841179a7d494"


def test_the_published_contract_is_never_edited() -> None:
    # clients were written against it; what changes is published beside it, as another version
    assert hashlib.sha256(DOCUMENT.read_bytes()).hexdigest() == DIGEST


def test_every_fenced_sample_is_found() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert len(samples()) == len(re.findall(r"^```\w+$", text, re.MULTILINE)) == 50


def test_every_printed_request_is_sent_by_a_test() -> None:
    assert [exchange.heading for exchange in exchanges()] == list(SCENES)


def test_every_other_sample_is_run_or_compared_by_a_test() -> None:
    answers = {exchange.answer for exchange in exchanges()}
    rest = {
        (sample.language, sample.heading)
        for sample in samples()
        if sample not in answers and not (sample.language == "http" and request_of(sample.text))
    }
    assert rest == ENVELOPES | PROGRAMS
