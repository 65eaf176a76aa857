"""The OpenAPI document, drawn from the routes: their policies, parameters, bodies and answers.

Made once, when it is first asked for. Schemas are msgspec's own, so that the document says what
the decoder does; a golden file shows each change of it to whoever reviews.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from msgspec import Struct

from api.envelope import Envelope, Failure
from api.errors import STATUSES
from api.field_texts import FIELDS, HEADERS, TAGS
from api.messages import ERRORS, OK
from api.openapi_links import links_of
from api.openapi_schemas import Schema, components_of, parameter_schema
from api.policy import Policy, policy_of
from api.query import parameters_of
from api.refusals import codes_of

TITLE: Final = "猫头鹰工厂 Owl Factory"
VERSION: Final = "0.10.0"
DESCRIPTION: Final = """\
按任务出租 GPU 服务器的后台。A backend that rents out a farm of GPU servers by the task.

- 先 `POST /api/auth/login` 取得令牌，再放入 `Authorization: Bearer …`，有效期 1,800 秒。
  Log in for a token; it is good for 1,800 seconds.
- 成功一律返回 200。Every success is a 200: `{success, message, data, error_code}`.
- 金额单位为元，最多两位小数；时间为 UTC（RFC 3339）；显存单位为 GiB；用量与进度为 0 到 100。
  Money is yuan with at most two decimals, times are UTC, memory is GiB, usage and progress are
  0 to 100.
- 消息默认为中文，`Accept-Language: en` 时为英文；错误码不翻译。
  Messages are Chinese, or English with `Accept-Language: en`; codes are never translated.
- 写操作的回答带有 `Owl-Position`；读取时带上 `Owl-Min-Position` 可确保读到该次写入。
  A write answers with `Owl-Position`; send it as `Owl-Min-Position` to read what you wrote.
"""
_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream"
_EVENT: Final[Schema] = {
    "type": "object",
    "description": "每个事件。Each event of the stream.",
    "properties": {
        "id": {
            "type": "string",
            "description": "续读用的编号。What to send as `Last-Event-ID` to go on after it.",
            "examples": ["4711"],
        },
        "event": {
            "type": "string",
            "description": "只在结束时出现。Only at the end.",
            "examples": ["end"],
        },
        "data": {
            "type": "string",
            "description": "JSON 文本。The event as JSON text.",
            "examples": ['{"position":4711,"tag":"wallet.hold_placed/1"}'],
        },
    },
}
_SECURITY: Final = "bearer"
_METHODS: Final = ("get", "post", "put", "delete")


class Operation(Struct, frozen=True, kw_only=True):
    """One route and method, as far as the document tells of it."""

    method: str
    path: str
    path_parameters: Mapping[str, type]
    handler: HTTPRouteHandler

    @property
    def body(self) -> Any:
        """The type of its body, if it takes one."""
        field = self.handler.parsed_fn_signature.parameters.get("data")
        return None if field is None else field.annotation

    @property
    def data(self) -> Any:
        """The type of its answer's ``data``; ``None`` for a file."""
        answer = self.handler.parsed_fn_signature.return_type.annotation
        is_enveloped = getattr(answer, "__origin__", None) is Envelope
        return answer.__args__[0] if is_enveloped else None

    @property
    def words(self) -> tuple[str, str]:
        """What it is called, and what is to be said about it, from its docstring."""
        text = inspect.cleandoc(self.handler.fn.__doc__ or "")
        title, colon, rest = text.partition(": ")
        return (title, rest) if colon else (text.partition("\n")[0].rstrip("."), text)


def operations_of(app: Litestar) -> Iterator[Operation]:
    """Every route that is published, in the order of the chapters."""
    routes = (route for route in app.routes if isinstance(route, HTTPRoute))
    for route in routes:
        found = [
            Operation(
                method=method.lower(),
                path=route.path_format,
                path_parameters={
                    name: known.type for name, known in route.path_parameters.items()
                },
                handler=handler,
            )
            for handler in route.route_handlers
            if handler.resolve_include_in_schema()
            for method in handler.http_methods - {"OPTIONS"}
        ]
        yield from sorted(found, key=lambda each: _METHODS.index(each.method))


class Document:
    """The document of an application."""

    def __init__(self, app: Litestar) -> None:
        self._app = app

    def json(self) -> bytes:
        """The document's text."""
        return self._json

    @cached_property
    def _json(self) -> bytes:
        return msgspec.json.encode(described(self._app))


def described(app: Litestar) -> Schema:
    """The document in plain values."""
    operations = list(operations_of(app))
    wanted = [model for each in operations for model in (each.body, each.data) if model]
    models = list(dict.fromkeys([*wanted, Failure]))
    schemas, components = components_of(models)
    by_model = dict(zip(models, schemas, strict=True))
    paths: dict[str, Schema] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method] = _operation(each, by_model)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": DESCRIPTION},
        "servers": [{"url": "/", "description": "这个服务器 This server"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                _SECURITY: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def _operation(each: Operation, schemas: Mapping[Any, Schema]) -> Schema:
    title, rest = each.words
    chapter = each.handler.fn.__module__.rpartition(".")[2]
    found: Schema = {
        "operationId": f"{chapter}_{each.handler.fn.__name__}",
        "tags": each.handler.resolve_tags(),
        "summary": title,
        "description": rest.replace("``", "`"),
        "security": [] if policy_of(each.handler) is Policy.PUBLIC else [{_SECURITY: []}],
        "parameters": [*_path(each), *_query(each), *_headers(each)],
        "responses": {"200": _success(each, schemas), **_failures(each)},
    }
    if "Range" in each.handler.opt.get("headers", ()):
        found["responses"]["206"] = _success(each, schemas)
    if links := links_of(found["operationId"]):
        found["responses"]["200"]["links"] = links
    if each.body is not None:
        schema = schemas[each.body]
        found["requestBody"] = {"required": True, "content": {_JSON: {"schema": schema}}}
    return found


def _path(each: Operation) -> Iterator[Schema]:
    for name, kind in each.path_parameters.items():
        text = FIELDS[f"path.{name}"]
        schema = {"type": "string"} | ({"format": "uuid"} if kind is UUID else {})
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": f"{text.zh}。{text.en}",
            "schema": schema,
            "example": text.example,
        }


def _query(each: Operation) -> Iterator[Schema]:
    for name, parameter in parameters_of(each.handler).items():
        schema = parameter_schema(parameter.annotation, parameter.default)
        text = FIELDS.get(f"query.{name}")
        described = schema.pop("description", f"{text.zh}。{text.en}" if text else "")
        found = {
            "name": name,
            "in": "query",
            "required": not parameter.has_default,
            "description": described,
            "schema": schema,
        }
        if text is not None and text.example is not None:
            found["example"] = text.example
        yield found


def _headers(each: Operation) -> Iterator[Schema]:
    wanted = ["Accept-Language", "X-Request-ID"]
    wanted += {"post": ["Idempotency-Key"], "get": ["Owl-Min-Position"]}.get(each.method, [])
    wanted += each.handler.opt.get("headers", ())
    for name in wanted:
        text, schema, example = HEADERS[name]
        yield {
            "name": name,
            "in": "header",
            "required": False,
            "description": text,
            "schema": schema,
            "example": example,
        }


def _success(each: Operation, schemas: Mapping[Any, Schema]) -> Schema:
    if each.data is None:
        media_types = each.handler.opt.get("media_types", ("application/octet-stream",))
        return {
            "description": "文件。A file.",
            "content": {
                name: {"schema": _EVENT if name == _EVENTS else {"type": "string"}}
                for name in media_types
            },
        }
    envelope = {
        "type": "object",
        "required": ["success", "message", "data", "error_code"],
        "properties": {
            "success": {"const": True, "description": "成功。It worked."},
            "message": {
                "type": "string",
                "description": "一句话。One sentence.",
                "examples": [OK.zh],
            },
            "data": schemas[each.data],
            "error_code": {"type": "null", "description": "成功时为空。Null on success."},
        },
    }
    return {
        "description": "成功。It worked.",
        "content": {_JSON: {"schema": envelope}},
    }


def _failures(each: Operation) -> dict[str, Schema]:
    codes = codes_of(each.handler, path_parameters=bool(each.path_parameters))
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(STATUSES[code], []).append(code)
    return {str(status): _failure(codes) for status, codes in sorted(by_status.items())}


def _failure(codes: list[str]) -> Schema:
    lines = [f"- `{code}`: {ERRORS[code].zh}。{ERRORS[code].en}." for code in codes]
    return {
        "description": "\n".join(lines),
        "content": {
            _JSON: {
                "schema": {"$ref": "#/components/schemas/Failure"},
                "examples": {
                    code: {
                        "value": {
                            "success": False,
                            "message": ERRORS[code].zh,
                            "error_code": code,
                            "details": {},
                        }
                    }
                    for code in codes
                },
            }
        },
    }
