"""Query strings become Structs: typed values, and a message for each invalid parameter."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
import pytest

from auth1.core.http.query import QueryParams, read_query
from auth1.core.timestamps import Timestamp
from auth1.errors import BadRequest, ValidationFailed


class Filter(QueryParams):
    """A query."""

    since: Timestamp | None = None
    text: str = ""
    state: Literal["sent", "failed"] | None = None
    number: Annotated[int, msgspec.Meta(ge=0)] = 0


class Open(msgspec.Struct):
    """A query that ignores unknown parameters."""

    number: int = 0


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (b"since=yesterday", "Must be an RFC 3339 timestamp, such as 2026-01-31T12:00:00Z."),
        (b"since=2026-01-31", "Must be an RFC 3339 timestamp, such as 2026-01-31T12:00:00Z."),
        (b"since=2026-01-31T12:00:00", "Must be an RFC 3339 timestamp, such as 2026-01-31T12:00:00Z."),
        (b"since=0001-01-01T00:00:00Z", "Must be a timestamp of the years 2000 to 9998."),
        (b"since=1768000000", "Must be an RFC 3339 timestamp, such as 2026-01-31T12:00:00Z."),
        (b"since=", "Must be an RFC 3339 timestamp, such as 2026-01-31T12:00:00Z."),
        (b"since=null", "Must not be null; omit it instead."),
        (b"text=%00", "Must not contain a NUL character."),
        (b"state=lost", "Must be one of: sent, failed."),
        (b"state=null", "Must not be null; omit it instead."),
        (b"state=", "Must be one of: sent, failed."),
        (b"number=1e1", "Must be a whole number."),
        (b"number=-1", "Must be a whole number, at least 0."),
        (b"number=", "Must be a whole number."),
        (b"number=1.0", "Must be a whole number."),
        (b"nmber=1", "Unknown parameter."),
    ],
)
def test_invalid_parameter_is_rejected_with_a_message(query: bytes, message: str) -> None:
    with pytest.raises(ValidationFailed) as rejected:
        read_query(query, Filter)

    assert list(rejected.value.errors) == [(query.partition(b"=")[0].decode(), message)]


def test_values_are_read_with_their_types() -> None:
    query = b"since=2026-01-31T12:00:00+01:00&text=null&text=a+b%2B&number=7"

    assert read_query(query, Filter) == Filter(datetime(2026, 1, 31, 11, tzinfo=UTC), "a b+", None, 7)
    assert read_query(b"", Filter) == Filter()


def test_struct_without_forbidden_fields_ignores_unknown_parameters() -> None:
    assert read_query(b"more=1&number=7", Open).number == 7


@pytest.mark.parametrize("query", [b"text=%ff", b"text=\xff"])
def test_query_must_be_utf_8(query: bytes) -> None:
    with pytest.raises(BadRequest):
        read_query(query, Filter)
