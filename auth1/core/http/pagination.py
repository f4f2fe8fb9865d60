"""Pages of a list: `limit` and `cursor` in the query, `data` and `next_cursor` in the answer.

A cursor is the key of the last row that was shown, so a list that grows meanwhile neither repeats nor skips.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from auth1.core.http.query import read_query
from auth1.core.http.request import Request
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


class Paging(msgspec.Struct):
    """The query of a list."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE, description="How many rows at most.")] = PAGE
    cursor: Annotated[str, msgspec.Meta(pattern=r"^[ -~]*\Z", description="The `next_cursor` of the page before.")] = ""


def page(request: Request[Any], max_cursor: int = _MAX_CURSOR, beside: type[msgspec.Struct] | None = None) -> Page:
    """Read `cursor` and `limit` (1 to 200, 50 unless told); `beside` is what else the query holds.

    Raises ValidationFailed.
    """
    wanted = read_query(request, Paging, beside=beside)
    if len(wanted.cursor) > max_cursor:
        raise ValidationFailed(errors=[FieldError("cursor", "Not a cursor of this list")])
    return Page(wanted.cursor, wanted.limit)
