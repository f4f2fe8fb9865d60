"""The list of errors is that of the code."""

from tests.docs import errors_table, events_table


def test_list_of_errors_is_current() -> None:
    page = events_table.PAGE.read_text()

    assert page == errors_table.replace(page), "run python -m tests.docs.errors_table"
