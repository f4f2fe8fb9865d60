"""Read the users of one JSON document as a stream: a list of objects, or an object that contains such a list.

The list is the document itself, the member `users` of the document, or else the only list of objects in it. Finding it
may need a first pass, so a pipe is copied to a temporary file. Memory stays constant: a row is at most 1 MiB.
"""

import codecs
import shutil
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from typing import IO, Any

import ijson

from auth1.user_transfer.lines import Line, from_object

MAX_BYTES = 1024 * 1024  # between two rows
MAX_DEPTH = 100
_NAME = "users"
_HINT = "For one object per line use the format ndjson."
Event = tuple[str, Any]
Path = tuple[str | None, ...]  # the key in each open object; None for an open list


class DocumentError(Exception):
    """The document is not readable from some point on."""


class _Source:
    """A file without a byte order mark that bounds the bytes between two rows."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._start = 0 if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8 else len(codecs.BOM_UTF8)
        self.pending = 0
        self.rewind()

    def rewind(self) -> None:
        """Return to the first byte."""
        self._file.seek(self._start)
        self.pending = 0

    def read(self, size: int) -> bytes:
        """Read bytes. Raises DocumentError when a row exceeds its limit."""
        if self.pending > MAX_BYTES:
            raise DocumentError(f"A row is longer than {MAX_BYTES} bytes.")
        piece = self._file.read(size)
        self.pending += len(piece)
        return piece


def read_json(file: IO[bytes]) -> Iterator[Line]:
    """Read all rows. Content that cannot be read becomes one last line with an error."""
    if file.seekable():
        yield from _read(file)
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        yield from _read(copy)


def _read(file: IO[bytes]) -> Iterator[Line]:
    number = 0
    try:
        source = _Source(file)
        path = _find_list(source)
        source.rewind()
        for value in _rows(source, path):
            number += 1
            yield from_object(number, value)
            source.pending = 0
    except DocumentError as error:
        yield Line(number + 1, None, f"Cannot be read from here on: {error}")
    except (ijson.JSONError, UnicodeDecodeError, ValueError, ArithmeticError):
        yield Line(number + 1, None, f"Cannot be read from here on: the document is not valid JSON in UTF-8. {_HINT}")


def _events(source: _Source) -> Iterator[tuple[Event, Path]]:
    """Yield each event with the path of the container that it is in, or that it opens."""
    path: list[str | None] = []
    for event, value in ijson.basic_parse(source):
        if event in ("end_map", "end_array"):
            path.pop()
        yield (event, value), tuple(path)
        if event == "map_key":
            path[-1] = value
        elif event in ("start_map", "start_array"):
            path.append(None)
            if len(path) > MAX_DEPTH:
                raise DocumentError(f"A value is nested more than {MAX_DEPTH} levels deep.")


def _find_list(source: _Source) -> Path:
    """Return the path of the list of users. Raises DocumentError when there is none, or more than one."""
    lists: dict[Path, bool] = {}  # whether each list has an object in it
    for (event, _), path in _events(source):
        source.pending = 0
        if event == "start_array" and None not in path:
            if not path or (len(path) == 1 and (path[0] or "").casefold() == _NAME):
                return path
            lists.setdefault(path, False)
        elif event == "start_map" and path[:-1] in lists and path[-1] is None:
            lists[path[:-1]] = True
    found = [path for path, has_objects in lists.items() if has_objects]
    if len(found) == 1:
        return found[0]
    if not found and len(lists) == 1:
        return next(iter(lists))  # an empty list
    names = ", ".join(".".join(map(str, path))[:64] for path in found[:10])
    problem = f"it has more than one list of objects ({names}); name one of them users" if names else "it has no list"
    raise DocumentError(f"The list of users cannot be determined: {problem}. {_HINT}")


def _rows(source: _Source, wanted: Path) -> Iterator[object]:
    """Yield the items of the list at a path."""
    events = _events(source)
    for (event, _), path in events:
        source.pending = 0
        if event == "start_array" and path == wanted:
            for (inner, value), _ in events:
                if inner == "end_array":
                    break
                yield _build(events, inner, value)


def _build(events: Iterator[tuple[Event, Path]], event: str, value: Any) -> object:
    """Return the value that begins with an event."""
    if event not in ("start_map", "start_array"):
        return _number(value)
    root: dict[str, Any] | list[Any] = {} if event == "start_map" else []
    open_containers, keys = [root], [""]
    while open_containers:
        (event, value), _ = next(events)
        if event == "map_key":
            keys[-1] = value
            continue
        if event in ("end_map", "end_array"):
            open_containers.pop()
            keys.pop()
            continue
        container, key = open_containers[-1], keys[-1]
        opens = event in ("start_map", "start_array")
        if opens:
            value = {} if event == "start_map" else []
            open_containers.append(value)
            keys.append("")
        item = value if opens else _number(value)
        if isinstance(container, dict):
            container[key] = item
        else:
            container.append(item)
    return root


def _number(value: object) -> object:
    """Return a decimal fraction as a float; it may become infinite, which metadata does not accept."""
    return float(value) if isinstance(value, Decimal) else value
