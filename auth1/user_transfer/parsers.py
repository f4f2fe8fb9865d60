"""Read a file of users row by row, whatever its size, with the line of each row.

ndjson  one JSON object per line
csv     a header, then one row per line (RFC 4180)
json    one document: a list of objects, or an object that contains one, such as `{"users": [...]}`
"""

import codecs
from collections.abc import Iterator
from typing import IO, Literal

import msgspec

from auth1.user_transfer.csv_rows import read_csv
from auth1.user_transfer.field_map import FieldMap
from auth1.user_transfer.json_rows import read_json
from auth1.user_transfer.lines import MAX_ROW_BYTES, Line, from_object

Format = Literal["ndjson", "csv", "json"]


def read(kind: Format, file: IO[bytes], fields: FieldMap) -> Iterator[Line]:
    """Read all lines of a file; each line is in the result once."""
    if kind == "csv":
        return read_csv(file, fields)
    return _read_ndjson(file) if kind == "ndjson" else read_json(file)


def _read_ndjson(file: IO[bytes]) -> Iterator[Line]:
    number = 0
    while line := file.readline(MAX_ROW_BYTES + 1):
        number += 1
        if len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
            while (rest := file.readline(MAX_ROW_BYTES)) and not rest.endswith(b"\n"):
                continue
            yield Line(number, None, f"Longer than {MAX_ROW_BYTES} bytes.")
            continue
        text = line.removeprefix(codecs.BOM_UTF8).strip() if number == 1 else line.strip()
        if not text:
            yield Line(number, None)
            continue
        try:
            row = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield Line(number, None, "Not JSON in UTF-8.")
            continue
        yield from_object(number, row)
