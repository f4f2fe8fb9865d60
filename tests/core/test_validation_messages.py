"""Every validation error is a sentence without a regular expression, Python type or path."""

import operator
import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
import pytest

from auth1.core.http.bodies import decode_json
from auth1.core.http.query import QueryParams
from auth1.core.sentences import INVALID
from auth1.errors import FieldError, ValidationFailed
from auth1.routes import ROUTES
from auth1.tenants.settings import TenantSettings
from tests.support.each import each

WRONG: list[Any] = [
    *(None, True, -1, 0, 1, 1.5, 10**12, 1e30, "", " ", "a", "\n", "é$", "x" * 20_000, "2026-01-31", "1"),
    *([], [None], [1], ["\n"], ["x" * 3000], ["a"] * 300, {}, {"a": None}, {"a": 1}, {"\n": "\n"}, {"a": {"b": 1}}),
]
SENTENCE = re.compile(r"[A-Z][^`$^\\\n]*\.")
TYPE_NAMES = re.compile(
    r"\b(str|int|float|bool|dict|array|datetime|regex|expected|Struct)\b|(?<!JSON )\bobject\b", re.IGNORECASE
)


def structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """Yield all Structs that a declared body or query consists of."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
        for field in msgspec.structs.fields(kind):
            yield from structs(field.type)
    for inner in get_args(kind):
        yield from structs(inner)


DECLARED = {
    struct
    for kind in [*(route.body for route in ROUTES), *(route.query for route in ROUTES), TenantSettings]
    if get_origin(kind) in (None, Annotated, Union, UnionType)
    for struct in structs(kind)
}
FIELDS = [
    (f"{struct.__name__}.{field.name}", field)
    for struct in sorted(DECLARED, key=lambda one: one.__name__)
    for field in msgspec.structs.fields(struct)
]


@each("name, field", FIELDS, ids=operator.itemgetter(0))
def test_validation_error_message_is_a_sentence(name: str, field: msgspec.structs.FieldInfo) -> None:
    probe = msgspec.defstruct("Probe", [("value", field.type)], forbid_unknown_fields=True)
    decoder = msgspec.json.Decoder(probe)
    found: set[FieldError] = set()
    for wrong in WRONG:
        try:
            decode_json(decoder, msgspec.json.encode({"value": wrong}))
        except ValidationFailed as rejected:
            found.update(rejected.errors)
    for place, message in found:
        assert place.startswith("value")
        assert "$" not in place
        assert SENTENCE.fullmatch(message), message
        assert not TYPE_NAMES.search(message), message
        assert message != INVALID, f"{place}: give the field Meta(extra={{'message': …}})"


def test_declared_structs_are_found() -> None:
    assert len(DECLARED) > 20
    assert TenantSettings in DECLARED
    assert any(issubclass(struct, QueryParams) for struct in DECLARED)


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    """A part of a body."""

    number: Annotated[int, msgspec.Meta(ge=1, le=5)]


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    """A body."""

    inner: Inner | None = None
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=30)] = "x"
    code: Annotated[str, msgspec.Meta(pattern="^[0-9]{4}$", extra={"message": "Must be 4 digits."})] | None = None
    items: Annotated[list[str], msgspec.Meta(max_length=1)] = []


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ('{"name":null}', "name", "Must not be null; omit it instead."),
        ('{"inner":{"number":null}}', "inner.number", "Must not be null."),
        ('{"name":"' + "x" * 31 + '"}', "name", "Must be at most 30 characters."),
        ('{"name":""}', "name", "Must not be empty."),
        ('{"name":1}', "name", "Must be a string."),
        ('{"code":"12"}', "code", "Must be 4 digits."),
        ('{"code":12}', "code", "Must be 4 digits."),
        ('{"inner":{"number":9}}', "inner.number", "Must be a whole number from 1 to 5."),
        ('{"inner":{}}', "inner.number", "Required."),
        ('{"inner":{"number":1,"other":1}}', "inner.other", "Unknown field."),
        ('{"inner":1}', "inner", "Must be a JSON object."),
        ('{"items":["a","b"]}', "items", "Must have at most 1 item."),
        ('{"items":[1]}', "items[0]", "Must be a string."),
        ("[]", "", "Must be a JSON object."),
    ],
)
def test_invalid_field_is_explained(body: str, field: str, message: str) -> None:
    with pytest.raises(ValidationFailed) as rejected:
        decode_json(msgspec.json.Decoder(Outer), body.encode())

    assert list(rejected.value.errors) == [(field, message)]
