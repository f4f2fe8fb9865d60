"""A body in chunks (RFC 9112, section 7.1). Extensions are ignored; trailers are checked and dropped."""

import re
from collections.abc import Callable

from auth1.core.outbound.headers import InvalidResponse, parse_headers

MAX_LINE_BYTES = 256  # of a size with its extensions

_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t -~\x80-\xff]*)?")


class ChunkedBody:
    """Collects the data of chunks.

    `feed` returns whether the body is complete. `surplus` is what follows it. `is_too_large` ends the parsing.
    """

    def __init__(self, max_bytes: int, max_trailer_bytes: int) -> None:
        self.body = bytearray()
        self.surplus = bytearray()  # during the parsing: bytes that are not parsed yet
        self.is_too_large = False
        self._max_bytes = max_bytes
        self._max_trailer_bytes = max_trailer_bytes
        self._remaining = 0  # bytes of the current chunk that have not arrived
        self._step: Callable[[bytearray], bool | None] = self._take_size

    def feed(self, data: bytes) -> bool:
        """Parse more bytes. Raises InvalidResponse."""
        self.surplus += data
        while True:
            outcome = self._step(self.surplus)  # None: the next step can begin; False: it needs more bytes
            if outcome is not None:
                return outcome

    def _take_size(self, buffer: bytearray) -> bool | None:
        end = buffer.find(b"\r\n", 0, MAX_LINE_BYTES)
        if end < 0:
            if len(buffer) >= MAX_LINE_BYTES:
                raise InvalidResponse("chunk line is too long")
            return False
        line = _LINE.fullmatch(bytes(buffer[:end]))
        if line is None:
            raise InvalidResponse("invalid chunk size")
        del buffer[: end + 2]
        self._remaining = int(line[1], 16)
        if len(self.body) + self._remaining > self._max_bytes:
            self.is_too_large = True
            return False
        self._step = self._take_data if self._remaining else self._take_trailers
        return None

    def _take_data(self, buffer: bytearray) -> bool | None:
        data = buffer[: self._remaining]
        self.body += data
        del buffer[: len(data)]
        self._remaining -= len(data)
        if self._remaining:
            return False
        if not buffer.startswith(b"\r\n"[: len(buffer)]):
            raise InvalidResponse("chunk is longer than its size")
        if len(buffer) < 2:
            return False
        del buffer[:2]
        self._step = self._take_size
        return None

    def _take_trailers(self, buffer: bytearray) -> bool:
        if buffer.startswith(b"\r\n"):
            del buffer[:2]
            return True
        end = buffer.find(b"\r\n\r\n")
        if (len(buffer) if end < 0 else end) > self._max_trailer_bytes:
            raise InvalidResponse("response trailers are too large")
        if end < 0:
            return False
        parse_headers(bytes(buffer[: end + 2]))
        del buffer[: end + 4]
        return True
