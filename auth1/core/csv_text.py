"""CSV in the format of RFC 4180, safe to open in a spreadsheet."""

import csv
import io
import re
from collections.abc import Sequence

from auth1.core import schemas

# A spreadsheet reads a cell that begins with one of these as a formula. Such a cell gets an apostrophe before it; so
# does a cell that begins with an apostrophe. Phone numbers do not.
_FORMULA = re.compile(r"['=@\t\r-]|\+(?![0-9]+\Z)")


def lines(rows: Sequence[Sequence[str]]) -> bytes:
    """Return rows as lines."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def cell(value: object) -> str:
    """Return a value as the text of a cell."""
    if value is None or isinstance(value, str):
        return f"'{value}" if value is not None and _FORMULA.match(value) else value or ""
    return schemas.encode(value).decode().strip('"')
