"""Stream events as they become final, as server-sent events.

A stream that resumes, or whose client reads more slowly than events appear, reads what it has missed from the table,
page by page as an export. Then it goes on with the events of the poll. Both read the primary: a position of one
replica may be ahead of another.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Iterator

from auth1.audit import lists
from auth1.audit.schemas import MAX_TEXT, event_out, tenant_event_out
from auth1.core import schemas
from auth1.core.http.streaming import PIECE_BYTES
from auth1.errors import FieldError, Unavailable, ValidationFailed
from auth1.events.reader import EventRow, Position, position_of
from auth1.events.stream import Subscription
from auth1.services import Services

PAGE = 50  # of up to 17 KiB each, in memory until the client has read them
LIFE_S = 900.0
COMMENT_S = 15.0  # seconds without an event
RETRY_S = 1.0  # while the database is unavailable
RECONNECT_MS = (1000, 5000)  # at random: clients of a worker that stops do not reconnect at the same time
HEADER = "last-event-id"
UNKNOWN = (
    "Must be the id of an event of this log that is not deleted; without it the stream begins with the next event."
)


async def find_after(app: Services, tenant_id: str | None, last_id: str | None) -> Position | None:
    """Return the position of Last-Event-ID; None without one. Raises ValidationFailed if it is unknown, Unavailable."""
    if not last_id:
        return None
    position = await lists.find_position(app.postgres, tenant_id, last_id) if len(last_id) <= MAX_TEXT else None
    if position is None:
        raise ValidationFailed(errors=[FieldError(HEADER, UNKNOWN)])
    return position


class EventStream:
    """The server-sent events of one stream, as pieces of its response."""

    def __init__(self, app: Services, stream: Subscription) -> None:
        self._app = app
        self._stream = stream
        self._is_of_all = stream.tenant_id is None
        self._missed: Position | None = None  # where to continue to read what was missed
        self._sent_id = ""
        self._find_missed()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield events, or a comment after each pause, until the stream ends."""
        clock = asyncio.get_running_loop().time
        ends_at, comment_at = clock() + LIFE_S, clock()  # the first comment is sent at once
        while not self._stream.is_ended and clock() < ends_at:
            rows = await self._next(min(ends_at, comment_at) - clock())
            for piece in self._encode(rows):
                yield piece
            if rows:
                comment_at = clock() + COMMENT_S
            elif clock() >= comment_at:
                comment_at = clock() + COMMENT_S
                yield self._comment()
        yield self._comment() + b"retry: %d\n\n" % random.randint(*RECONNECT_MS)

    async def _next(self, timeout_s: float) -> list[EventRow]:
        """Return the next events that match; none after a time, or after a page without any."""
        try:
            if self._missed is not None:
                return await self._read_missed(self._missed)
            rows = await self._stream.take(timeout_s)
            if not rows and self._stream.is_behind:
                await self._app.streams.join(self._stream)
                self._find_missed()
            return rows
        except Unavailable:
            await asyncio.sleep(min(RETRY_S, max(timeout_s, 0.0)))
            return []

    def _find_missed(self) -> None:
        if self._stream.position < self._stream.joined_at:
            self._missed = self._stream.position

    async def _read_missed(self, after: Position) -> list[EventRow]:
        """Read a page of events up to the position at which the stream has joined."""
        async with self._app.streams.one_at_a_time:
            rows, position = await lists.export_page(self._app.postgres, self._stream.tenant_id, after, PAGE)
        missed = [row for row in rows if position_of(row.tx, row.id) <= self._stream.joined_at]
        self._missed = position if len(missed) == len(rows) else None
        if missed:
            self._stream.advance_past(missed[-1])
        if self._missed is not None:
            self._stream.position = self._missed
        return self._stream.matching(missed)

    def _encode(self, rows: list[EventRow]) -> Iterator[bytes]:
        """Yield events in pieces that a client can take one by one."""
        piece = bytearray()
        for row in rows:
            message = encode(row, is_of_all=self._is_of_all)
            if piece and len(piece) + len(message) > PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
            piece += message
            self._sent_id = row.id
        if piece:
            yield bytes(piece)

    def _comment(self) -> bytes:
        """Return a comment, with the id of the last event that did not match: the client resumes after that one."""
        if self._stream.last_id in ("", self._sent_id):
            return b":\n\n"
        self._sent_id = self._stream.last_id
        return b":\nid: %b\n\n" % self._sent_id.encode()


def encode(row: EventRow, *, is_of_all: bool) -> bytes:
    """Return an event as a message: `data` is one line, because its JSON has no line ends."""
    data = schemas.encode(tenant_event_out(row) if is_of_all else event_out(row))
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (row.id.encode(), row.type.encode(), data)
