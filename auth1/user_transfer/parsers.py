"""Read a file of users row by row, whatever its size, and know the line of each.

ndjson  one JSON object a line
csv     a header, then a row a line; RFC 4180
json    one document: a list of objects, or an object with one (`{"users": [...]}`), as some products write it
"""

import codecs
import csv
import io
import json
import re
from collections.abc import Collection, Iterator
from typing import IO, Any, Literal, NamedTuple

import msgspec

Format = Literal["ndjson", "csv", "json"]
MAX_ROW_BYTES = 64 * 1024
_GUARDED = re.compile(r"'['=@+\t\r-]")  # what is after the apostrophe is no formula to spreadsheets, and is meant
_PIECE = 64 * 1024
_ROOM = 16 * _PIECE  # what stands before the list of a document


class Line(NamedTuple):
    """A row and the number of its line, from 1; or what is wrong with it."""

    number: int
    row: dict[str, Any] | None
    wrong: str = ""


def read(kind: Format, file: IO[bytes], known: Collection[str] | None = None) -> Iterator[Line]:
    """Read all rows of a file; a CSV with columns that are not `known` is refused as a whole, once."""
    if kind == "csv":
        return _csv(file, known)
    return _ndjson(file) if kind == "ndjson" else _json(file)


def _ndjson(file: IO[bytes]) -> Iterator[Line]:
    number = 0
    while line := file.readline(MAX_ROW_BYTES + 1):
        number += 1
        if len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
            while (rest := file.readline(_PIECE)) and not rest.endswith(b"\n"):
                continue
            yield Line(number, None, f"Longer than {MAX_ROW_BYTES} bytes")
            continue
        text = line.removeprefix(codecs.BOM_UTF8).strip() if number == 1 else line.strip()
        if not text:
            continue
        try:
            row = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield Line(number, None, "Not JSON in UTF-8")
            continue
        yield _line(number, row)


def _csv(file: IO[bytes], known: Collection[str] | None) -> Iterator[Line]:
    # What is no UTF-8 comes through as surrogates, so that one bad row does not end the file.
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    rows = csv.reader(text, strict=True)
    header: list[str] | None = None
    while True:
        number = rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            yield Line(number, None, f"Not CSV: {error}")
            continue
        if not cells:
            continue
        if any("\udc80" <= sign <= "\udcff" for cell in cells if not cell.isascii() for sign in cell):
            yield Line(number, None, "Not UTF-8")
        elif header is None:
            header = [cell.strip() for cell in cells]
            if unknown := [name for name in header if known is not None and name not in known]:
                names = ", ".join(name[:64] for name in unknown[:20])
                yield Line(number, None, f"Unknown columns: {names}; a map says which column is which field")
                break
        elif len(cells) > len(header):
            yield Line(number, None, f"{len(cells)} fields under a header of {len(header)}")
        else:
            named = zip(header, cells, strict=False)
            yield Line(number, {name: cell[1:] if _GUARDED.match(cell) else cell for name, cell in named if cell != ""})
    text.detach()


def _json(file: IO[bytes]) -> Iterator[Line]:
    """Find the list, then take object after object off its head."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="strict")
    take = json.JSONDecoder().raw_decode
    text, number, inside = "", 1, False
    try:
        for piece in iter(lambda: file.read(_PIECE), b""):
            text += decoder.decode(piece)
            if not inside:
                start = text.find("[")
                inside = start >= 0
                if not inside and len(text) > _ROOM:
                    break
                number += text.count("\n", 0, max(start, 0))
                text = text[start + 1 :] if inside else text
            while inside:
                rest = text.lstrip(" \t\r\n,")
                number += text.count("\n", 0, len(text) - len(rest))
                text = rest
                if not text or text[0] == "]":
                    break
                try:
                    row, end = take(text)
                except (json.JSONDecodeError, RecursionError):
                    break  # not all of it is there yet
                yield _line(number, row)
                number += text.count("\n", 0, end)
                text = text[end:]
            if inside and (text[:1] == "]" or len(text) > 2 * MAX_ROW_BYTES):
                break
    except UnicodeDecodeError:
        text = "?"
    if not inside or text[:1] != "]":
        yield Line(number, None, "From here on this is no JSON list of objects in UTF-8 (one a line is ndjson)")


def _line(number: int, row: object) -> Line:
    if not isinstance(row, dict):
        return Line(number, None, "Not a JSON object")
    return Line(number, row)
