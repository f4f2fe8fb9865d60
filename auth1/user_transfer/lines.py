"""One row of a file of users, with its position."""

from typing import Any, NamedTuple

MAX_ROW_BYTES = 64 * 1024


class Line(NamedTuple):
    """A row, a blank line (no `row` and no `error`), or lines that cannot be read (an `error`).

    `number` counts lines from 1; in a JSON document it counts the objects of the list.
    """

    number: int
    row: dict[str, Any] | None
    error: str = ""
    last: int = 0  # its last line, where it spans several

    @property
    def lines(self) -> int:
        """Return the number of lines that it spans."""
        return max(self.last - self.number, 0) + 1


def from_object(number: int, value: object) -> Line:
    """Return the row of a JSON value."""
    return Line(number, value) if isinstance(value, dict) else Line(number, None, "Not a JSON object")
