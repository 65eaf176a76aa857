"""The schemas of what goes in and out, from the structs themselves: msgspec knows them exactly.

What a struct does not say of a field (``FIELDS``) is added here, so that every field has a
description and an example; a test holds that none is missing.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, get_args, get_type_hints

import msgspec
from msgspec import Struct

from api.body import RequestBody
from api.field_texts import FIELDS, FieldText

Schema = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"
_PAGE = re.compile(r"Page_(\w+)_")
_TELLING: Final = frozenset({"$ref", "enum", "const", "examples"})


def components_of(models: Sequence[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """A schema for each model, and the components that these refer to."""
    schemas, components = msgspec.json.schema_components(models, ref_template=_REF)
    structs = {struct.__name__: struct for model in models for struct in structs_in(model)}
    for name, schema in components.items():
        _complete(name, schema, structs.get(name))
    for schema in components.values():
        _show(schema, components)
    return (
        [_renamed(schema) for schema in schemas],
        {_PAGE.sub(r"\1Page", name): _renamed(each) for name, each in components.items()},
    )


def structs_in(model: Any) -> Iterator[type[Struct]]:
    """The structs that a type is made of, itself included."""
    if isinstance(model, type) and issubclass(model, Struct):
        yield model
        for annotation in get_type_hints(model).values():
            yield from structs_in(annotation)
        return
    origin = getattr(model, "__origin__", None)
    if isinstance(origin, type) and issubclass(origin, Struct):
        for annotation in get_type_hints(origin).values():
            yield from structs_in(annotation)
    for part in get_args(model):
        yield from structs_in(part)


def parameter_schema(annotation: Any, default: Any) -> Schema:
    """The schema of a query parameter; a parameter that is not there is no null."""
    schema: Schema = msgspec.json.schema(annotation)
    described = schema.pop("description", None)
    some = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if some:
        (schema,) = some
        described = schema.pop("description", described)
    if default is not None:
        schema["default"] = default
    return schema | ({"description": described} if described else {})


def text_of(struct: str, field: str) -> FieldText | None:
    """What is said of a field: of this struct's own, or of all that are called so."""
    return FIELDS.get(f"{struct}.{field}") or FIELDS.get(field)


def _complete(name: str, schema: Schema, struct: type[Struct] | None) -> None:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    if struct is None or not issubclass(struct, RequestBody):
        schema["required"] = list(properties)  # answers have all their fields
    hints = {} if struct is None else get_type_hints(struct)
    # a docstring comes as it is indented, by CPython before 3.13
    described = inspect.cleandoc(schema.get("description", name))
    schema["description"] = described.replace("``", "`")
    for field, each in properties.items():
        _lift(each)
        if _holds(hints.get(field), datetime):
            each["format"] = "date-time"
        elif _holds(hints.get(field), date):
            each["format"] = "date"
        text = text_of(name, field)
        if text is None:
            continue
        each.setdefault("description", f"{text.zh}。{text.en}")
        if text.example is None:
            continue
        if not _TELLING & each.keys() or text.example in each.get("enum", ()):
            each["examples"] = [text.example]


def _show(schema: Schema, components: Mapping[str, Schema]) -> None:
    """Give each field that tells no example yet the one that its own parts make."""
    for each in schema.get("properties", {}).values():
        if "examples" not in each:
            each["examples"] = [example_of(each, components)]


def example_of(schema: Schema, components: Mapping[str, Schema]) -> Any:
    """A value that the schema describes, made of the examples of its fields."""
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return example_of(components[schema["$ref"].rpartition("/")[2]], components)
    if "properties" in schema:
        return {
            name: example_of(each, components)
            for name, each in schema["properties"].items()
            if name in schema["required"] or "examples" in each
        }
    if "items" in schema:
        return [example_of(schema["items"], components)]
    return simple_example_of(schema)


def simple_example_of(schema: Schema) -> Any:
    """A value that says itself what it may be."""
    return schema.get("default", schema.get("const", schema.get("enum", [True])[0]))


def _lift(schema: Schema) -> None:
    """What is said of a value that may be null is said of the field."""
    choices: list[Schema] = schema.get("anyOf", [])
    some = [each for each in choices if each != {"type": "null"}]
    if len(some) != 1 or len(choices) == 1:
        return
    (value,) = some
    for key in ("description", "examples"):
        if key in value:
            schema[key] = value.pop(key)
    if isinstance(value.get("type"), str):
        del schema["anyOf"]
        schema.update(value, type=[value["type"], "null"])
    elif "enum" in value:
        del schema["anyOf"]
        schema["enum"] = [*value["enum"], None]


def _holds(annotation: Any, kind: type) -> bool:
    return annotation is kind or any(part is kind for part in get_args(annotation))


def _renamed(schema: Any) -> Any:
    match schema:
        case {"format": "decimal", "type": kind, **rest}:
            # an amount: msgspec tells of the string only, and takes the number as well
            kinds = [kind] if isinstance(kind, str) else kind
            return {**_renamed(rest), "type": ["number", *kinds]}
        case dict():
            return {
                key: _PAGE.sub(r"\1Page", value) if key == "$ref" else _renamed(value)
                for key, value in schema.items()
            }
        case list():
            return [_renamed(each) for each in schema]
        case _:
            return schema
