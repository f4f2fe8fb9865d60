"""Read the rows of a CSV file (RFC 4180), and detect rows that a stray quote has made part of a cell.

A stray quote makes the lines after it the content of one cell. Three rules report such lines instead of losing them. A
quoted cell that never closes, or that exceeds 64 KiB, ends the file. A cell that spans several lines is rejected when
one of these lines looks like a row. Each error names the first and last line that it covers. Lines inside a quoted cell
are never imported as rows: their content may come from the users themselves.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from typing import IO

from auth1.user_transfer.field_map import FieldMap
from auth1.user_transfer.lines import MAX_ROW_BYTES, Line

_GUARDED = re.compile(r"'['=@+\t\r-]")  # an apostrophe that keeps a spreadsheet from reading a formula
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # bytes that the decoder could not read
# A phone or an email. Each character has one reading, so that a long cell takes no longer than its length.
_IDENTIFIER = re.compile(r"\s*(?:'?\+?[0-9]{7,15}|[^@\s]+@[^@\s][^@\s.]*\.[^@\s]+)\s*")


class _TooLong(Exception):
    """A row exceeds its limit."""


class _Lines:
    """Physical lines for the CSV reader, with the lines of the row that it reads."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.number = 0  # of the last line that was read
        self.row: list[str] = []
        self._remaining = MAX_ROW_BYTES  # characters that the row may still have

    def begin_row(self) -> None:
        """Drop the lines of the last row."""
        self.row.clear()
        self._remaining = MAX_ROW_BYTES

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        remaining = self._remaining
        line = self._text.readline(remaining + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self.row.append(line)
        self._remaining -= len(line)
        if len(line) > remaining and not line.endswith(("\n", "\r")):
            self._skip_line()
            raise _TooLong
        if len(line) > remaining:
            raise _TooLong
        return line

    def skip_all(self) -> int:
        """Skip the rest of the file and return the number of its last line."""
        while line := self._text.readline(MAX_ROW_BYTES):
            self.number += 1
            if not line.endswith(("\n", "\r")):
                self._skip_line()
        return self.number

    def _skip_line(self) -> None:
        while (line := self._text.readline(MAX_ROW_BYTES)) and not line.endswith(("\n", "\r")):
            continue


def read_csv(file: IO[bytes], fields: FieldMap) -> Iterator[Line]:
    """Read all rows. A header that does not fit `fields` rejects the whole file."""
    # Bytes that are not UTF-8 become surrogates, so that one such row does not end the file.
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _rows(_Lines(text), fields)
    finally:
        text.detach()


def _rows(lines: _Lines, fields: FieldMap) -> Iterator[Line]:
    reader = csv.reader(lines, strict=True)
    header: list[str] | None = None
    while True:
        lines.begin_row()
        first = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _TooLong) as error:
            problem = _problem(lines, error)
            if problem.endswith(_REST) or header is None:
                yield Line(first, None, problem, lines.skip_all())
                return
            yield Line(first, None, problem, lines.number)
            continue
        if not any(cell.strip() for cell in cells):
            yield Line(first, None, last=lines.number)  # a quoted cell of blanks may span several lines
        elif header is None:
            header, problem = _header(cells, fields, any(map(_NOT_UTF8.search, lines.row)))
            if problem:
                yield Line(first, None, f"{problem} No line was imported.", lines.skip_all())
                return
            if not fields.is_header(cells):  # the file has none, and this is its first row
                yield _row(first, lines, header, cells)
        else:
            yield _row(first, lines, header, cells)


_REST = "The rest of the file was not read."


def _problem(lines: _Lines, error: Exception) -> str:
    if isinstance(error, _TooLong):
        problem = f"Longer than {MAX_ROW_BYTES} characters."
        return f"{problem} A quote may be left open. {_REST}" if any('"' in line for line in lines.row) else problem
    if len(lines.row) > 1:
        return f"Not valid CSV: a quote opens here and does not close properly ({error})."
    return f"Not valid CSV: {error}."


def _header(cells: list[str], fields: FieldMap, not_utf8: bool) -> tuple[list[str], str]:
    """Return the names of the columns, and what is wrong with them."""
    if not_utf8:
        return [], "The file is not UTF-8."
    if not fields.is_header(cells):
        return list(fields.columns), ""
    header = [cell.strip() for cell in cells]
    named = [name for name in header if name]
    if any(_IDENTIFIER.fullmatch(name) for name in named):
        return header, "The first line must be a header; it looks like a row."
    if twice := sorted(name for name, times in Counter(named).items() if times > 1):
        return header, f"Columns occur twice: {', '.join(name[:64] for name in twice[:20])}."
    return header, fields.problem_of_header(header)


def _row(first: int, lines: _Lines, header: list[str], cells: list[str]) -> Line:
    last = lines.number
    if any(_NOT_UTF8.search(line) for line in lines.row):
        return Line(first, None, "Not UTF-8.", last)
    if len(cells) > len(header):
        return Line(first, None, f"{len(cells)} fields under a header of {len(header)}.", last)
    if len(lines.row) > 1 and any(_looks_like_row(line, len(header)) for line in lines.row[1:]):
        return Line(first, None, "A cell contains lines that look like rows: a quote may be left open.", last)
    cells += [""] * (len(header) - len(cells))
    named = zip(header, cells, strict=True)
    row = {name: cell[1:] if _GUARDED.match(cell) else cell for name, cell in named if name}
    return Line(first, row, "", last)


def _looks_like_row(line: str, width: int) -> bool:
    """Return whether a line inside a cell has the fields of a row."""
    plain = line.rstrip("\r\n").split(",")
    try:
        quoted = next(csv.reader([line.rstrip("\r\n")]), [])
    except csv.Error:
        quoted = plain
    if width > 2:
        return width in (len(plain), len(quoted))
    cells = [cell.strip('"') for cell in plain]
    return len(cells) == width and any(_IDENTIFIER.fullmatch(cell) for cell in cells)
