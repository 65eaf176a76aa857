"""Bodies are refused before anything trusts them, and every fault in them is named."""

import json
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from api.body import DEPTH_MAX, BodyReader, RequestBody
from api.fields import Amount, Description, Instant, fen_of, yuan_between, yuan_text
from api.messages import Fault, sentence
from api.platform import HttpConfig
from api.rejection import InvalidRequest
from api.validation import checked

CONFIG = HttpConfig(token_keys={"a": b"k" * 32}, request_key=b"r" * 32)


def _each_price(prices: dict[str, Decimal]) -> Fault | None:
    return next(filter(None, map(yuan_between("0", "9"), prices.values())), None)


class Order(RequestBody):
    title: Annotated[str, Meta(min_length=2, max_length=10)]
    count: Annotated[int, Meta(ge=1, le=5)] = 1
    kind: Literal["a", "b"] = "a"
    amount: Amount = Decimal(1)
    prices: Annotated[dict[str, Decimal], yuan_text("0", "9"), checked(_each_price)] = {}
    at: Instant | None = None
    text: Description = ""
    free: dict[str, Any] = {}


READER = BodyReader(Order)


def faults(body: bytes) -> dict[str, list[str]]:
    with pytest.raises(InvalidRequest) as refused:
        READER.read(body, CONFIG)
    return {
        field: [fault.kind for fault in found] for field, found in refused.value.faults.items()
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b" ", {"body": ["body_empty"]}),
        (b"{", {"body": ["body_malformed"]}),
        (b'{"title":"ab"}x', {"body": ["body_malformed"]}),
        (b'\xef\xbb\xbf{"title":"ab"}', {"body": ["body_malformed"]}),
        (b'{"title":"a\xff"}', {"body": ["body_encoding"]}),
        (b'{"title":NaN}', {"body": ["body_malformed"]}),
        (b'{"title":"a\nb"}', {"body": ["body_malformed"]}),
        (b"[]", {"body": ["body_object"]}),
        (b"null", {"body": ["body_object"]}),
        (b'{"count":' + b"9" * 5000 + b"}", {"body": ["body_malformed"]}),
        (b"{}", {"title": ["missing"]}),
        (b'{"title":null}', {"title": ["want_str"]}),
        (b'{"title":"a"}', {"title": ["too_short"]}),
        (b'{"title":"abcdefghijk"}', {"title": ["too_long"]}),
        (b'{"title":"ab","count":true}', {"count": ["want_int"]}),
        (b'{"title":"ab","count":1.0}', {"count": ["want_int"]}),
        (b'{"title":"ab","count":"1"}', {"count": ["want_int"]}),
        (b'{"title":"ab","count":1e400}', {"count": ["want_int"]}),
        (b'{"title":"ab","count":0,"kind":"c"}', {"count": ["at_least"], "kind": ["choice"]}),
        (b'{"title":"ab","count":9007199254740993}', {"count": ["at_most"]}),
        (b'{"title":"ab","x":1,"y":2}', {"x": ["unknown"], "y": ["unknown"]}),
        (b'{"title":"ab","title":"cd"}', {"title": ["duplicate"]}),
        (b'{"title":"ab","\\u0074itle":"cd"}', {"title": ["duplicate"]}),
        (b'{"title":"a\\u0000b"}', {"title": ["characters"]}),
        (b'{"title":"a\\nb"}', {"title": ["characters"]}),
        (b'{"title":"a\\u202eb"}', {"title": ["characters"]}),
        ('{"title":"a\u202eb"}'.encode(), {"title": ["characters"]}),
        ('{"title":"a\u0085b"}'.encode(), {"title": ["characters"]}),
        (b'{"title":"a\\ud800b"}', {"title": ["characters"]}),
        (b'{"title":"ab","free":{"k":["\\u0007"]}}', {"free.k[0]": ["characters"]}),
        (b'{"title":"ab","amount":"NaN"}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":"Infinity"}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":1e2}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":0.001}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":-1}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":0}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":100000.01}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":true}', {"amount": ["want_float"]}),
        (b'{"title":"ab","amount":null}', {"amount": ["want_float"]}),
        (b'{"title":"ab","amount":[1]}', {"amount": ["want_float"]}),
        (b'{"title":"ab","amount":1e400}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":1E2}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":-0}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":-0.0}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":1.000}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":' + b"9" * 4000 + b"}", {"amount": ["amount"]}),
        (b'{"title":"ab","amount":NaN}', {"body": ["body_malformed"]}),
        (b'{"title":"ab","amount":"1_000"}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":" 5"}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":"5\\n"}', {"amount": ["characters"]}),
        (b'{"title":"ab","amount":"+5"}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":"-0"}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":"1e3"}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":".5"}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":"5."}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":"5.000"}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":"00000005"}', {"amount": ["amount"]}),
        (b'{"title":"ab","amount":""}', {"amount": ["amount"]}),
        ('{"title":"ab","amount":"\uff15"}'.encode(), {"amount": ["amount"]}),
        ('{"title":"ab","amount":"\u0665"}'.encode(), {"amount": ["amount"]}),
        (b'{"title":"ab","prices":{"a":"1_0","b":"1"}}', {"prices": ["amount"]}),
        (b'{"title":"ab","prices":{"a":"+1"}}', {"prices": ["amount"]}),
        (b'{"title":"ab","prices":{"a":-0}}', {"prices": ["amount"]}),
        (b'{"title":"ab","at":"2024-02-30T00:00:00Z"}', {"at": ["time"]}),
        (b'{"title":"ab","at":"0001-01-01T00:00:00+10:00"}', {"at": ["year"]}),
        (b'{"title":"ab","at":"9999-12-31T23:59:59-10:00"}', {"at": ["year"]}),
    ],
)
def test_what_is_wrong_is_named(body: bytes, expected: dict[str, list[str]]) -> None:
    assert faults(body) == expected


def test_all_faults_are_named_at_once() -> None:
    body = b'{"title":"a","count":9,"kind":"z","amount":0,"at":"x","text":1,"free":[],"q":1}'
    assert faults(body) == {
        "title": ["too_short"],
        "count": ["at_most"],
        "kind": ["choice"],
        "amount": ["amount"],
        "at": ["time"],
        "text": ["want_str"],
        "free": ["want_object"],
        "q": ["unknown"],
    }


def test_nesting_is_counted_before_anything_decodes() -> None:
    deep = b'{"title":"ab","free":{"k":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    assert faults(deep) == {"body": ["too_deep"]}
    brackets = b'{"title":"ab","text":"' + b"[{" * DEPTH_MAX + b'"}'
    assert READER.read(brackets, CONFIG).text == "[{" * DEPTH_MAX


def test_many_duplicates_cost_no_more_than_their_length() -> None:
    assert faults(b"{" + b",".join([b'"x":1'] * 40_000) + b"}")["x"] == [
        "unknown",
        "duplicate",
    ]


def test_line_breaks_are_kept_where_text_may_have_them() -> None:
    assert READER.read(b'{"title":"ab","text":"a\\n\\tb"}', CONFIG).text == "a\n\tb"


def test_text_is_composed() -> None:
    order = READER.read('{"title":"cafe\u0301"}'.encode(), CONFIG)
    assert order.title == "caf\u00e9"
    assert READER.read(b'{"title":"cafe\\u0301"}', CONFIG).title == "caf\u00e9"
    assert READER.read(('{"title":"%s"}' % ("e\u0301" * 10)).encode(), CONFIG).title == "é" * 10


@given(fen=st.integers(1, 10_000_000), as_text=st.booleans())
def test_money_is_read_to_the_fen_as_number_and_as_text(fen: int, *, as_text: bool) -> None:
    yuan = f"{fen // 100}.{fen % 100:02}"
    body = '{"title":"ab","amount":%s}' % (f'"{yuan}"' if as_text else yuan)
    assert fen_of(READER.read(body.encode(), CONFIG).amount) == fen


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_read_or_refused_in_words(value: Any) -> None:
    body = json.dumps({"title": "ab", "free": value, "text": value}).encode()
    try:
        order = READER.read(body, CONFIG)
    except InvalidRequest as refused:
        for field, found in refused.faults.items():
            for fault in found:
                assert sentence(field, fault, "zh")
                assert sentence(field, fault, "en")
    else:
        assert order.title == "ab"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(InvalidRequest):
        assert isinstance(READER.read(body, CONFIG), Order)


def test_the_time_without_a_zone_is_taken() -> None:
    order = READER.read(b'{"title":"ab","at":"2030-01-01T00:00:00"}', CONFIG)
    assert order.at == datetime(2030, 1, 1)  # noqa: DTZ001 - as it was written


def test_a_fault_without_a_label_shows_the_fields_own_name() -> None:
    assert sentence("seconds", Fault("want_int"), "en") == "seconds must be an integer"
