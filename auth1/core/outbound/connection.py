"""One HTTP/1.1 connection that carries one request at a time.

The event loop reports the end of a connection as it happens, so that a kept connection needs no check of all others
before each request. An exchange that does not complete closes its connection.
"""

import asyncio
import select
import ssl
from collections.abc import Callable

import httpx

from auth1.core.outbound.http1 import BodyTooLarge, InvalidResponse, ResponseParser

MAX_UNSENT_BYTES = 64 * 1024  # a connection that carried a larger request is not reused
POSSIBLY_SENT = "the request was possibly sent"


class ResponseTooLarge(httpx.RemoteProtocolError):
    """The response body exceeds the bound. The request was sent, and its status is known."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"Response body is too large; {POSSIBLY_SENT}.")
        self.status_code = status_code


class Connection(asyncio.Protocol):
    """One connection. `on_end` is called once when it ends, for whatever reason."""

    def __init__(self) -> None:
        self.on_end: Callable[[Connection], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: ResponseParser | None = None
        self._waiter: asyncio.Future[ResponseParser] | None = None
        self._ended = self._loop.create_future()
        self._poll = select.poll()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # TCP and TLS have a full transport
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(httpx.ReadError(f"Connection lost before the response was complete; {POSSIBLY_SENT}."))

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            self.abort()  # bytes that belong to no request
            return
        try:
            is_complete = parser.feed(data)
        except BodyTooLarge as error:
            self._fail(ResponseTooLarge(error.status))
        except InvalidResponse as error:
            self._fail(httpx.RemoteProtocolError(f"Invalid response: {error}; {POSSIBLY_SENT}."))
        else:
            if is_complete:
                self._complete(parser)

    def eof_received(self) -> None:
        parser = self._parser
        if parser is not None and self._is_end_authentic() and parser.end():
            self._complete(parser)
        self.connection_lost(None)  # a peer that only half closes will not respond either

    async def exchange(
        self, method: str, data: bytes, deadline: float, max_body_bytes: int, *, truncates: bool = False
    ) -> ResponseParser:
        """Send a request and return its complete response, or with `truncates` the beginning of a large one.

        `deadline` is in the loop's time.

        Raises ReadTimeout, ReadError or RemoteProtocolError: the request was possibly sent.
        """
        assert self._transport is not None
        assert self._waiter is None
        self._parser = ResponseParser(method, max_body_bytes, truncates=truncates)
        self._waiter = self._loop.create_future()
        timer = self._loop.call_at(deadline, self._expire)
        try:
            self._transport.write(data)
            response = await self._waiter
            # A response may arrive before the request is sent. In TLS the buffer size omits what is encrypted already.
            is_unsent = self._transport.get_write_buffer_size() or len(data) > MAX_UNSENT_BYTES
            if is_unsent or self._transport.is_closing():
                response.is_reusable = False
        except BaseException:
            self.abort()
            raise
        finally:
            timer.cancel()
            self._waiter = None
        return response

    def is_usable(self) -> bool:
        """Return whether an idle connection can carry a request; one system call.

        A connection with unread bytes is not usable: they are its end, or belong to no request.
        """
        return self._transport is not None and not self._transport.is_closing() and not self._poll.poll(0)

    async def start_tls(self, context: ssl.SSLContext, host: str, shutdown_s: float) -> None:
        """Continue in TLS, in the tunnel of a proxy."""
        assert self._transport is not None
        self._transport = await self._loop.start_tls(
            self._transport, self, context, server_hostname=host, ssl_shutdown_timeout=shutdown_s
        )

    def close(self) -> None:
        """Close an idle connection; in TLS with close_notify."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    async def wait_ended(self) -> None:
        """Wait until the connection has ended."""
        await asyncio.shield(self._ended)

    def _complete(self, parser: ResponseParser) -> None:
        self._parser = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(parser)

    def _expire(self) -> None:
        self._fail(httpx.ReadTimeout(f"No complete response within the deadline; {POSSIBLY_SENT}."))

    def _fail(self, error: httpx.TransportError) -> None:
        self._parser = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self.abort()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end(self)

    def _is_end_authentic(self) -> bool:
        """Return whether the peer itself ended the connection: in TLS only its close_notify proves it.

        asyncio reports a truncated TLS connection like a complete one; uvloop does not. After close_notify a read
        returns nothing; without one it raises.
        """
        assert self._transport is not None
        tls = self._transport.get_extra_info("ssl_object")
        try:
            return tls is None or tls.read(1) == b""
        except ssl.SSLError:
            return False
