"""Explain msgspec's validation errors in plain sentences.

A field whose pattern needs an explanation has it beside the pattern: `Meta(pattern=…, extra={"message": "Must be …"})`.
All other sentences follow from the field's type and bounds.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec

NOT_NULL = "Must not be null; omit it instead."
INVALID = "Is not valid."
_MAX_NAME = 64
_STEP = re.compile(r"\.([^.\[\]]*)|\[(?:\d+|\.\.\.)\]")
_TYPES: dict[object, str] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a JSON object",
    list: "a list",
    tuple: "a list",
    datetime: "an RFC 3339 timestamp, such as 2026-01-31T12:00:00Z",
}


class _Type(NamedTuple):
    """A type without its annotations, and the annotations."""

    kind: Any
    metas: tuple[msgspec.Meta, ...] = ()
    optional: bool = False  # a field that may be omitted


def explain(text: str, kind: Any) -> tuple[str, str]:
    """Return the field's path and a sentence for an error of msgspec.

    The text of an error is "Expected `int` >= 4 - at `$.settings.otp_length`", or ends in "at `key` in `$.settings`".
    """
    text, _, path = text.replace(" - at `key` in `$", " - at key `$").partition(" - at ")
    of_key = path.startswith("key ")
    path = path.removeprefix("key ").strip("`").removeprefix("$")
    field = path.removeprefix(".")
    if found := re.fullmatch(r"Object (contains unknown|missing required) field `(.*)`", text, re.DOTALL):
        name = found[2] if len(found[2]) <= _MAX_NAME else found[2][:_MAX_NAME] + "…"
        return f"{field}.{name}".lstrip("."), "Unknown field." if "unknown" in found[1] else "Required."
    types = _resolve(kind, path)
    if of_key:
        types = [one for outer in types for one in _flat(_argument(outer.kind, 0, Any))]
    return field, _sentence(text, types)


def _sentence(text: str, types: list[_Type]) -> str:
    types = [one for one in types if one.kind not in (NoneType, msgspec.UnsetType)]
    if text.endswith("got `null`"):
        return NOT_NULL if any(one.optional for one in types) else "Must not be null."
    if found := re.fullmatch(r"Expected `(\w+)` of length (<=|>=) (\d+)", text):
        return _length(found[1], found[2], int(found[3]))
    for one in types:
        for meta in one.metas:
            if meta.extra is not None and "message" in meta.extra:
                return str(meta.extra["message"])
    sentences = dict.fromkeys(filter(None, map(_must_be, types)))
    if not sentences:
        return _tags(types) or INVALID
    return f"Must be {' or '.join(sentences)}."


def _length(kind: str, sign: str, number: int) -> str:
    if sign == ">=" and number == 1:
        return "Must not be empty."
    unit = {"str": "character", "array": "item", "object": "entry"}[kind]
    units = unit if number == 1 else f"{unit}s".replace("entrys", "entries")
    bound = "at most" if sign == "<=" else "at least"
    return f"Must be {bound} {number} {units}." if kind == "str" else f"Must have {bound} {number} {units}."


def _must_be(one: _Type) -> str | None:
    """Return "a whole number from 4 to 10"."""
    if get_origin(one.kind) is Literal:
        return f"one of: {', '.join(map(str, get_args(one.kind)))}"
    kind = get_origin(one.kind) or one.kind
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return None if kind.__struct_config__.tag else "a JSON object"
    name = _TYPES.get(kind)
    least = next((meta.ge for meta in one.metas if meta.ge is not None), None)
    most = next((meta.le for meta in one.metas if meta.le is not None), None)
    if name is None or (least is None and most is None):
        return name
    if least is not None and most is not None:
        return f"{name} from {least} to {most}"
    return f"{name}, at least {least}" if most is None else f"{name}, at most {most}"


def _tags(types: list[_Type]) -> str | None:
    """Return the sentence for the tag of a union of Structs."""
    tags = [str(one.kind.__struct_config__.tag) for one in types if hasattr(one.kind, "__struct_config__")]
    return f"Must be one of: {', '.join(sorted(tags))}." if tags else None


def _resolve(kind: Any, path: str) -> list[_Type]:
    """Return the possible types at a path."""
    types = list(_flat(kind))
    for step in _STEP.finditer(path):
        inner = [below for outer in types for below in _below(outer.kind, step[1])]
        # The tag of a union is no field of its Structs.
        types = inner or [one for one in types if getattr(one.kind, "__struct_config__", None)]
    return types


def _below(kind: Any, name: str | None) -> Iterator[_Type]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            if field.encode_name == name:
                yield from (one._replace(optional=not field.required) for one in _flat(field.type))
    elif get_origin(kind) is dict:
        yield from _flat(_argument(kind, 1, Any))
    elif get_origin(kind) in (tuple, list):
        yield from _flat(_argument(kind, 0, Any))


def _flat(kind: Any, metas: tuple[msgspec.Meta, ...] = ()) -> Iterator[_Type]:
    """Return the members of a union, each with its annotations, the innermost first."""
    if get_origin(kind) is Annotated:
        inner, *outer = get_args(kind)
        yield from _flat(inner, (*(meta for meta in outer if isinstance(meta, msgspec.Meta)), *metas))
    elif get_origin(kind) in (Union, UnionType):
        for member in get_args(kind):
            yield from _flat(member, metas)
    else:
        yield _Type(kind, metas)


def _argument(kind: Any, place: int, default: Any) -> Any:
    arguments = get_args(kind)
    return arguments[place] if len(arguments) > place else default
