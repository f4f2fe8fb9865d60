"""Pages of a list: `limit` and `cursor` in the query, `data` and `next_cursor` in the response.

A cursor is the key of the last row of a page, so a growing list neither repeats nor skips rows.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import msgspec

from auth1.core.http.query import QueryParams

PAGE = 50
MAX_PAGE = 200
INVALID_CURSOR = "Must be the next_cursor of a page of this list."

Row = TypeVar("Row")


Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE, description="The maximum number of rows.")]
Cursor = Annotated[
    str,
    msgspec.Meta(
        max_length=64,
        pattern=r"^[ -~]*\Z",
        description="The `next_cursor` of the previous page.",
        extra={"message": INVALID_CURSOR},
    ),
]


class Paged:
    """A query with `limit` and `cursor`."""

    __slots__ = ()
    limit: int

    @property
    def rows(self) -> int:
        """Return the number of rows to read: one more than the page shows, to know whether more follow."""
        return self.limit + 1

    def split(self, rows: Sequence[Row], key: Callable[[Row], str]) -> tuple[list[Row], str | None]:
        """Return the rows of the page, and the cursor of the next page."""
        shown = list(rows[: self.limit])
        return shown, key(shown[-1]) if len(rows) > self.limit else None


class PageQuery(Paged, QueryParams):
    """The query of a list."""

    limit: Limit = PAGE
    cursor: Cursor = ""
