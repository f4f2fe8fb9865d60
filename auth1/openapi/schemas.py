"""Structs as JSON Schema, as OpenAPI wants them."""

import inspect
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from auth1.core.http.problems import Problem
from auth1.core.schemas import Out
from auth1.errors import ALL
from auth1.openapi.metadata import Json

REFERENCE = "#/components/schemas/{name}"


def components(kinds: Iterable[Any]) -> tuple[list[Json], dict[str, Json]]:
    """Describe kinds of bodies: a schema or reference for each, and what those refer to."""
    found, named = msgspec.json.schema_components(list(kinds), ref_template=REFERENCE)
    structs = {struct.__name__: struct for struct in _structs(msgspec.Struct)}
    for name, schema in named.items():
        _tidy(schema)
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])  # Python 3.13 does that by itself
        struct = structs.get(name)
        if struct is None or "properties" not in schema:
            continue
        fields = msgspec.structs.fields(struct)
        for field in fields:
            _date(schema["properties"][field.encode_name], field.type)
        if issubclass(struct, Out) and not struct.__struct_config__.omit_defaults:
            # Responses contain all fields, also those with a default.
            schema["required"] = [field.encode_name for field in fields if not _mentions(field.type, msgspec.UnsetType)]
    if Problem.__name__ in named:
        named[Problem.__name__]["properties"]["code"] = {
            "type": "string",
            "enum": sorted(error.code for error in ALL),
        }
    return _plain(found), _plain(dict(sorted(named.items())))


def parameters(kind: type[msgspec.Struct]) -> Iterator[Json]:
    """Describe the fields of a Struct that a query is read into."""
    _, named = components([kind])
    schema = named.pop(kind.__name__)
    for name, of_field in schema["properties"].items():
        shape = _without_null(inline(of_field, named))
        description = of_field.get("description") or shape.get("description")
        parameter: Json = {"name": name, "in": "query"}
        if description:
            parameter["description"] = description
        if name in schema.get("required", ()):
            parameter["required"] = True
        parameter["schema"] = {key: value for key, value in shape.items() if key not in ("description", "examples")}
        if examples := of_field.get("examples"):
            parameter["example"] = examples[0]
        yield parameter


def _without_null(schema: Json) -> Json:
    """Return the type of a parameter without its absence."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf" and (key, value) != ("default", None)}
    return rest | choices[0] if len(choices) == 1 else schema


def inline(schema: Any, named: dict[str, Json]) -> Any:
    """Replace references by what they refer to."""
    if isinstance(schema, list):
        return [inline(one, named) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if (reference := schema.get("$ref")) is not None:
        return inline(named[reference.rpartition("/")[2]], named)
    return {key: inline(value, named) for key, value in schema.items()}


def _plain(value: Any) -> Any:
    """Return a value with types of JSON only: a default may be a tuple."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _tidy(schema: Any) -> None:
    r"""Convert patterns from Python's dialect to ECMA's, where `$` is the end of the text, as `\Z` is here."""
    if isinstance(schema, list):
        for one in schema:
            _tidy(one)
    elif isinstance(schema, dict):
        if isinstance(pattern := schema.get("pattern"), str):
            schema["pattern"] = re.sub(r"\\Z$", "$", pattern)
        for value in schema.values():
            _tidy(value)


def _date(schema: Json, kind: object) -> None:
    """Set the format of timestamps: msgspec sets it only where it requires a time zone."""
    if _mentions(kind, datetime):
        for one in [schema, *schema.get("anyOf", ())]:
            if one.get("type") == "string":
                one["format"] = "date-time"


def _mentions(kind: object, wanted: type) -> bool:
    return kind is wanted or any(_mentions(inner, wanted) for inner in getattr(kind, "__args__", ()))


def _structs(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for below in kind.__subclasses__():
        if below.__module__.startswith("auth1."):
            yield below
        yield from _structs(below)
