"""Request bodies: checked as bytes before anything decodes them, then one strict decode.

What msgspec lets pass is refused here: duplicate keys, control and bidirectional characters,
nesting that exhausts the stack, text in several Unicode forms. A valid body costs two scans in
C and one decode; only a failed one is taken apart field by field, to name all that is wrong.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Final, get_type_hints

import msgspec
from litestar.dto import AbstractDTO
from litestar.dto.data_structures import DTOFieldDefinition
from litestar.typing import FieldDefinition
from msgspec import NODEFAULT, Struct

from api.body_media import check_media
from api.exchange import Exchange
from api.judging import Judge, no_objection
from api.messages import Fault
from api.platform import HttpConfig
from api.rejection import Further, InvalidRequest, Rejection
from api.validation import (
    Check,
    Faults,
    check_of,
    faults_of_fields,
    is_judged_as_written,
)

BODY_BYTES_MAX: Final = 256 * 1024
DEPTH_MAX: Final = 32
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_KEY = re.compile(rb'"([^"\\]*)"\s*:')
_COLON = re.compile(rb'"\s*:')
_UNCLEAN = re.compile(r"\\[^\"\\]|[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
"""In text written by our encoder: it escapes control characters, quotes and backslashes."""


class RequestBody(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The base of all request bodies."""

    judge: ClassVar[Judge] = no_objection
    """What the domain says of the good fields of a body that is bad otherwise."""

    @classmethod
    def cross_check(
        cls, given: Mapping[str, Any], config: HttpConfig
    ) -> Iterator[tuple[str, Fault]]:
        """Rules between fields, or with the configuration; ``given`` are the good fields."""
        yield from ()


class ChangeBody(RequestBody):
    """The base of bodies that name what changes: at least one field."""

    @classmethod
    def cross_check(
        cls, given: Mapping[str, Any], config: HttpConfig
    ) -> Iterator[tuple[str, Fault]]:
        if all(value is None for value in given.values()):
            yield "body", Fault("nothing")


class BodyReader:
    """Reads one type of body."""

    def __init__(self, model: type[RequestBody]) -> None:
        self.model = model
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(model)
        hints = get_type_hints(model, include_extras=True)
        self._annotations = {name: hints[name] for name in model.__struct_fields__}
        self._required = frozenset(
            field.name
            for field in msgspec.structs.fields(model)
            if field.default is NODEFAULT and field.default_factory is NODEFAULT
        )
        self._checks: dict[str, Check] = {
            name: check
            for name, annotation in self._annotations.items()
            if (check := check_of(annotation)) is not None
        }
        self._is_judged_as_written = any(map(is_judged_as_written, self._annotations.values()))

    def read(self, body: bytes, config: HttpConfig) -> Any:
        """The body as its struct.

        Raises:
            InvalidRequest: anything is wrong; it says everything that is.
        """
        if body.count(b"{") + body.count(b"[") > DEPTH_MAX and _depth(body) > DEPTH_MAX:
            raise InvalidRequest({"body": [Fault("too_deep", {"limit": DEPTH_MAX})]})
        keys = _KEY.findall(body)
        keys_are_plain = len(keys) == len(set(keys)) == len(_COLON.findall(body))
        if self._is_judged_as_written or not keys_are_plain:
            body = self._inspected(body, config)
        try:
            value = self._decoder.decode(body)
            if not _is_plain(body) and not _is_clean(_ENCODER.encode(value).decode()):
                value = self._decoder.decode(self._inspected(body, config))
        except (msgspec.DecodeError, UnicodeDecodeError):
            value = self._composed_value(body, config)
        given = {name: getattr(value, name) for name in self._annotations}
        for name, check in self._checks.items():
            if given[name] is not None and check(given[name]):
                raise self._refusal(body, config)
        for _ in self.model.cross_check(given, config):
            raise self._refusal(body, config)
        return value

    def _composed_value(self, body: bytes, config: HttpConfig) -> Any:
        """What a body says whose texts were too long only until they were composed."""
        try:
            return self._decoder.decode(self._inspected(body, config))
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise InvalidRequest({"body": [Fault("body_malformed")]}) from None

    def _inspected(self, body: bytes, config: HttpConfig) -> bytes:
        """The body with its escapes written out, once every text and key was looked at."""
        value, duplicates = _loaded(body)
        refusal = self._refusal_of(value, duplicates, config)
        if refusal is not None:
            raise refusal
        return _ENCODER.encode(value)

    def _refusal(self, body: bytes, config: HttpConfig) -> InvalidRequest:
        refusal = self._refusal_of(*_loaded(body), config)
        return refusal or InvalidRequest({"body": [Fault("body_malformed")]})

    def _refusal_of(
        self, value: Any, duplicates: set[str], config: HttpConfig
    ) -> InvalidRequest | None:
        if not isinstance(value, dict):
            return InvalidRequest({"body": [Fault("body_object")]})
        faults = faults_of_fields(
            value, self._annotations, required=self._required, strict=True
        )
        for name in duplicates:
            faults.setdefault(name, []).append(Fault("duplicate"))
        good = {
            name: msgspec.convert(value[name], annotation)
            for name, annotation in self._annotations.items()
            if name in value and name not in faults and not _inside(name, faults)
        }
        named = set(faults)
        for path, fault in self.model.cross_check(good, config):
            if path != "body" or not named:  # what is bad was given, so it is not "nothing"
                faults.setdefault(path, []).append(fault)
        return InvalidRequest(faults, self.further(good)) if faults else None

    def further(self, good: Mapping[str, Any]) -> Further | None:
        """What the domain says of the good fields, if it has anything to say of such a body."""
        judge = self.model.judge
        return None if judge is no_objection else partial(judge, good)


class Body(AbstractDTO[RequestBody]):
    """Puts ``BodyReader`` in place of Litestar's own decoding, whose conversion is lax.

    Litestar hands it the bytes of a handler's ``data``.
    """

    readers: ClassVar[dict[str, BodyReader]] = {}

    def decode_bytes(self, value: bytes) -> Any:
        """The body of this request."""
        exchange = Exchange.of(self.asgi_connection.scope)
        check_media(exchange)
        exchange.body = value
        reader = self.readers[self.asgi_connection.route_handler.handler_id]
        return read_with_head(reader, value, exchange)

    def decode_builtins(self, value: dict[str, Any]) -> Any:
        """Forms are not taken."""
        raise Rejection("UNSUPPORTED_MEDIA_TYPE")

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: Any = None
    ) -> None:
        """Prepare the reader of one handler's ``data``."""
        cls.readers[handler_id] = BodyReader(field_definition.annotation)

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Iterator[DTOFieldDefinition]:  # type: ignore[override]
        """None: the struct is used as it is."""
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        """No field is treated apart."""
        return False


def read_with_head(reader: BodyReader, body: bytes, exchange: Exchange) -> Any:
    """The body, if nothing is wrong with it, nor was with headers and query."""
    try:
        read = reader.read(body, exchange.platform.config)
    except InvalidRequest as refusal:
        faults = exchange.head_faults | refusal.faults
        raise InvalidRequest(faults, refusal.further) from None
    if exchange.head_faults:
        good = msgspec.structs.asdict(read)
        raise InvalidRequest(exchange.head_faults, reader.further(good))
    return read


def _depth(body: bytes) -> int:
    deepest = depth = 0
    for byte in _STRING.sub(b'""', body):
        if byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest


def _is_plain(body: bytes) -> bool:
    """Whether no text in it can be other than it looks."""
    return b"\\" not in body and b"\x7f" not in body and body.isascii()


def _is_clean(text: str) -> bool:
    """Whether the encoded ``text`` is composed (NFC) and without characters that deceive."""
    return not _UNCLEAN.search(text) and unicodedata.is_normalized("NFC", text)


def _loaded(body: bytes) -> tuple[Any, set[str]]:
    """The body in plain values, and the keys that an object in it has twice.

    Raises:
        InvalidRequest: it is empty, not UTF-8, or not JSON.
    """
    duplicates: set[str] = set()

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            counted = Counter(name for name, _ in pairs)
            duplicates.update(name for name, times in counted.items() if times > 1)
        return value

    if not body.strip():
        raise InvalidRequest({"body": [Fault("body_empty")]})
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise InvalidRequest({"body": [Fault("body_encoding")]}) from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=object_of,
            parse_float=Decimal,
            parse_int=_integer,
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError):  # also integers of too many digits
        raise InvalidRequest({"body": [Fault("body_malformed")]}) from None
    return _composed(value), duplicates


def _composed(value: Any) -> Any:
    """The same with all text composed, as its length is counted."""
    match value:
        case str():
            return unicodedata.normalize("NFC", value)
        case dict():
            return {_composed(name): _composed(item) for name, item in value.items()}
        case list():
            return [_composed(item) for item in value]
        case _:
            return value


def _integer(digits: str) -> int | Decimal:
    """The integer; Python's would forget the sign of ``-0``, which no amount has."""
    return Decimal(digits) if digits == "-0" else int(digits)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _inside(name: str, faults: Faults) -> bool:
    return any(path.startswith((f"{name}.", f"{name}[")) for path in faults)
