"""The canonical form of an event is that of RFC 8785, whatever its data are."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from auth1.audit.sealing.canonical import canonical, leaf, timestamp
from auth1.events.reader import EventRow

ROW = EventRow(
    tenant_id="tn_1",
    id="evt_1",
    type="user.updated",
    actor="key_1",
    subject="usr_1",
    request_id="req_1",
    network="192.0.2.0/24",
    data="{}",
    created_at=datetime(2026, 1, 15, 9, 30, 0, 120_000, UTC),
    tx="4711",
)
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)


def with_data(data: str) -> bytes:
    return canonical(ROW._replace(data=data))


@given(values)
@example({"\ue000": None, "\U00010000": None})  # names are sorted by UTF-16 code units
def test_canonical_form_equals_the_reference_implementation(value: Any) -> None:
    columns = {
        **{name: text for name, text in ROW._asdict().items() if name not in ("data", "created_at")},
        "created_at": "2026-01-15T09:30:00.120000Z",
        "data": value,
    }

    assert with_data(json.dumps(value)) == rfc8785.dumps(columns)
    assert with_data(json.dumps(value, ensure_ascii=False, indent=1)) == rfc8785.dumps(columns)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("9007199254740993", "9007199254740992"),
        ("0.1", "0.1000000000000000055511151231257827"),
        ("1e400", "2e400"),
        ("-123456789012345678901234567890", "-123456789012345678901234567891"),
    ],
)
def test_numbers_that_a_double_cannot_hold_differ(one: str, other: str) -> None:
    assert with_data(f'{{"n": {one}}}') != with_data(f'{{"n": {other}}}')


@pytest.mark.parametrize("column", [name for name in EventRow._fields if name not in ("data", "created_at")])
def test_each_text_column_changes_the_digest(column: str) -> None:
    values: dict[str, Any] = {column: f"{getattr(ROW, column)}0"}
    changed = ROW._replace(**values)

    assert leaf(changed) != leaf(ROW)


def test_time_and_data_change_the_digest() -> None:
    later = ROW._replace(created_at=ROW.created_at + timedelta(microseconds=1))

    assert len({leaf(ROW), leaf(later), leaf(ROW._replace(data='{"a": 1}'))}) == 3


def test_column_without_a_value_is_left_out() -> None:
    text = canonical(ROW._replace(request_id=None, network=None))

    assert b"request_id" not in text
    assert b"network" not in text


def test_timestamp_does_not_depend_on_the_time_zone() -> None:
    moment = datetime(2026, 1, 15, 11, 30, tzinfo=timezone(timedelta(hours=2)))

    assert timestamp(moment) == "2026-01-15T09:30:00.000000Z"
