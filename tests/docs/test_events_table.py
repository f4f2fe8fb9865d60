"""The list of events is that of the code, and the code knows every field."""

from auth1.events.types import FIELDS, EventType
from tests.docs import events_table


def test_list_of_events_is_current() -> None:
    page = events_table.PAGE.read_text()

    assert page == events_table.replace(page), "run python -m tests.docs.events_table"


def test_every_field_is_described_and_used() -> None:
    assert {name for event in EventType for name in event.fields} == FIELDS.keys()
    assert list(FIELDS) == sorted(FIELDS)


def test_every_type_has_a_subject_and_a_condition() -> None:
    assert all(event.subject and event.condition for event in EventType)
