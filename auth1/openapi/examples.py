"""An example of any schema: the examples of its fields, else values by their names (`metadata`)."""

import re
from typing import Any

from auth1.openapi.metadata import FIELDS, MOMENT, Json


class MissingExample(Exception):
    """A field without an example."""


def sample(schema: Json, named: dict[str, Json], *, sent: bool, name: str = "") -> Any:
    """Make an example. Of a body that callers send (`sent`): the fields that are required, and those with an example.

    Raises MissingExample.
    """
    if examples := schema.get("examples"):
        return examples[0]
    if reference := schema.get("$ref"):
        return sample(named[reference.rpartition("/")[2]], named, sent=sent, name=name)
    if "const" in schema:
        return schema["const"]
    if name in FIELDS and not sent and _fits(FIELDS[name], schema, named):
        return FIELDS[name]
    if "default" in schema and not _has_example(schema, named):
        return schema["default"]
    if enum := schema.get("enum"):
        return enum[0]
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        one = next(one for one in choices if one.get("type") != "null")
        if not sent and {"type": "null"} in choices and "$ref" not in one and not _has_example(one, named):
            return None
        return sample(one, named, sent=sent, name=name)
    return _of_type(schema, named, sent=sent, name=name)


def _of_type(schema: Json, named: dict[str, Json], *, sent: bool, name: str) -> Any:
    match schema.get("type"):
        case "object":
            required = schema.get("required", []) if sent else list(schema.get("properties", {}))
            title = schema.get("title")
            return {
                field: sample(of_field, named, sent=sent, name=own if (own := f"{title}.{field}") in FIELDS else field)
                for field, of_field in schema.get("properties", {}).items()
                if field in required or _has_example(of_field, named)
            }
        case "array":
            items = schema.get("items", {})
            wanted = schema.get("minItems", 0) or (not sent and ("$ref" in items or _has_example(items, named)))
            return [sample(items, named, sent=sent, name=name)] if wanted else []
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
        case "null":
            return None
        case "string" if schema.get("format") == "date-time":
            return MOMENT
        case "string" if pattern := schema.get("pattern"):
            if isinstance(FIELDS.get(name), str) and re.search(pattern, str(FIELDS[name])):
                return FIELDS[name]
            raise MissingExample(f"{name}: give the field an example, `msgspec.Meta(examples=[…])`")
        case "string":
            return FIELDS[name] if isinstance(FIELDS.get(name), str) else "text"
    return {}


def _has_example(schema: Json, named: dict[str, Json]) -> bool:
    if "examples" in schema:
        return True
    for one in (schema, *schema.get("anyOf", ())):
        if "examples" in one:
            return True
        if reference := one.get("$ref"):
            below = named[reference.rpartition("/")[2]]
            if any(_has_example(of_field, named) for of_field in below.get("properties", {}).values()):
                return True
    return False


def _fits(value: object, schema: Json, named: dict[str, Json]) -> bool:
    """Return whether a value has the type of the schema: fields of one name may have several types."""
    if reference := schema.get("$ref"):
        return _fits(value, named[reference.rpartition("/")[2]], named)
    if enum := schema.get("enum"):
        return value in enum
    if choices := schema.get("anyOf"):
        return any(_fits(value, one, named) for one in choices)
    kinds: dict[str, type | tuple[type, ...]] = {"string": str, "integer": int, "boolean": bool, "object": dict}
    if schema.get("type") == "null":
        return value is None
    kind = kinds.get(str(schema.get("type")))
    return kind is not None and isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
