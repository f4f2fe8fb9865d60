"""Lines of the files that the command line loads, bounded in length."""

from collections.abc import Iterator
from typing import IO

MAX_LINE = 200  # bytes


class BadLine(ValueError):
    """A line of a file that cannot be read. `line` counts from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line


def read_lines(file: IO[bytes]) -> Iterator[str]:
    """Return the lines of a file in UTF-8, also with a byte order mark. Raises BadLine."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise BadLine(number, f"is longer than {MAX_LINE} bytes")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise BadLine(number, "is not UTF-8 text") from None
