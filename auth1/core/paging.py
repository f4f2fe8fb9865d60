"""Pages of a list: `limit` and `cursor` in the query, `data` and `next_cursor` in the answer.

A cursor is the key of the last row that was shown, so a list that grows meanwhile neither repeats nor skips.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from auth1.core.call import Call
from auth1.errors import FieldError, ValidationFailed

PAGE = 50
MAX_PAGE = 200
_MAX_CURSOR = 64

Row = TypeVar("Row")


class Page(NamedTuple):
    """Which rows are wanted: those after `after` (empty: from the beginning), at most `limit`."""

    after: str
    limit: int

    @property
    def rows(self) -> int:
        """How many rows to ask for: one more than is shown tells whether there are more."""
        return self.limit + 1

    def split(self, rows: Sequence[Row], key: Callable[[Row], str]) -> tuple[list[Row], str | None]:
        """The rows to show, and the cursor of the next page."""
        shown = list(rows[: self.limit])
        return shown, key(shown[-1]) if len(rows) > self.limit else None


def page(call: Call[Any]) -> Page:
    """Read `cursor` and `limit` (1 to 200, 50 unless told). Raises ValidationFailed."""
    query = call.query()
    limit = query.get("limit", str(PAGE))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 5 and 1 <= int(limit) <= MAX_PAGE):
        raise ValidationFailed(errors=[FieldError("limit", f"Must be a whole number from 1 to {MAX_PAGE}")])
    cursor = query.get("cursor", "")
    if not cursor.isascii() or not cursor.isprintable() or len(cursor) > _MAX_CURSOR:
        raise ValidationFailed(errors=[FieldError("cursor", "Not a cursor of this list")])
    return Page(cursor, int(limit))
