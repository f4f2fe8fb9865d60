"""Map ASGI requests to calls of typed handlers.

One request: find the route -> guard (authentication, rate limit) -> read at most 16 KiB and decode them into the
route's Struct -> handler -> encode. Errors become problem documents in one place. A request has one deadline and one
log line.
"""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from time import perf_counter
from typing import Any, Generic, TypeVar

from auth1 import metrics
from auth1.core import schemas
from auth1.core.http import client_ip, framing, problems, streaming
from auth1.core.http.access_log import log_request
from auth1.core.http.bodies import Decode, decoders
from auth1.core.http.concurrency import ConcurrencyLimiter, Places
from auth1.core.http.cors import Cors
from auth1.core.http.query import read_query
from auth1.core.http.request import (
    JSON,
    ClientDisconnected,
    Receive,
    ReplayedResponse,
    Request,
    Response,
    Stream,
    is_bodiless,
    read_body,
)
from auth1.core.http.router import Route, Router
from auth1.core.ids import new_id
from auth1.core.log import Log
from auth1.errors import (
    ApiError,
    BadRequest,
    InternalError,
    OriginNotAllowed,
    Unavailable,
)

MAX_IN_FLIGHT = 1000  # per worker; more would only wait for the pool
BODIES_AT_ONCE = 512  # being received, per client address; not part of MAX_IN_FLIGHT

Scope = Mapping[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Services = TypeVar("Services")
Once = Callable[[Services, Route, Request[Any], Sequence[object]], Awaitable[object]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.\-]{8,128}")
_NO_STORE = (b"cache-control", b"no-store")
_NO_SNIFF = (b"x-content-type-options", b"nosniff")


class App(Generic[Services]):
    """The ASGI application: `start` creates the services of this worker, `stop` closes them.

    `once` runs the handlers of routes that are idempotent.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        log: Log,
        cors: Cors,
        trusted_proxies: tuple[client_ip.Network, ...],
        start: Callable[[], Awaitable[Services]],
        stop: Callable[[Services], Awaitable[None]],
        once: Once[Services],
    ) -> None:
        self._router = Router(routes)
        self._decoders = {route: decoders(route) for route in routes if route.body is not None}
        self._log = log
        self._cors = cors
        self._clients = client_ip.ClientFinder(trusted_proxies, log)
        self._start = start
        self._stop = stop
        self._once = once
        self._in_flight = 0
        self._limits = ConcurrencyLimiter()
        self._places = Places(MAX_IN_FLIGHT)
        self._finishing = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopped: asyncio.Future[None] | None = None
        self.services: Services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            self._in_flight += 1
            self._idle.clear()
            metrics.HTTP_IN_FLIGHT.inc()
            try:
                with ExitStack() as held:  # until the whole response is sent
                    await self._http(scope, receive, send, held)
            finally:
                self._in_flight -= 1
                metrics.HTTP_IN_FLIGHT.dec()
                if not self._in_flight:
                    self._idle.set()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self.services = await self._start()
        except Exception as error:
            # The server would swallow an exception and continue without services.
            self._log.error("start failed", error=error, reason=str(error))
            self._log.close()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop_once()
        await send({"type": "lifespan.shutdown.complete"})

    async def finish(self) -> None:
        """End this process once no request is in flight, whatever its connections are waiting for.

        The server would wait for clients that do not read. The kernel still sends the data that it has.
        """
        self._finishing.set()
        await self._idle.wait()
        await self._stop_once()
        os._exit(0)

    async def _stop_once(self) -> None:
        if self._stopped is None:
            self._stopped = asyncio.ensure_future(self._stop(self.services))
        await asyncio.shield(self._stopped)

    async def _http(self, scope: Scope, receive: Receive, send: Send, held: ExitStack) -> None:
        started = perf_counter()
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, []).append(value)
        wanted_id = headers.get(b"x-request-id", [b""])[0]
        request_id = wanted_id.decode() if _REQUEST_ID.fullmatch(wanted_id) else new_id("req")
        request: Request[Any] = Request(scope["method"], request_id, headers, scope["query_string"])
        route: Route | None = None
        body: bytes | Stream
        gone = False
        self._find_client(scope, request)
        try:
            framing.check(scope, headers)
            framing.check_path(scope)
            origin = request.header(b"origin")
            if request.method == "OPTIONS":
                allow, request.cors = self._router.options(scope["path"])
                request.headers += [(b"allow", allow.encode())]
                request.headers += self._cors.preflight(origin) if request.cors else []
                status, content_type, body = 204, b"", b""
            else:
                route = self._admit(scope, request, origin)
                with self._places.take(exempt=route.quiet):
                    status, content_type, body = await self._answer(route, request, receive, held)
        except (ApiError, ClientDisconnected) as error:
            gone = isinstance(error, ClientDisconnected)  # the client of a malformed request reads a response
            refusal = error if isinstance(error, ApiError) else BadRequest("The body is malformed or incomplete.")
            status, content_type = refusal.status, problems.CONTENT_TYPE
            body = schemas.encode(problems.problem(refusal, request_id))
            request.headers += problems.headers(refusal)
            request.log["code"] = refusal.code
            metrics.ERROR_RESPONSES[refusal.code].inc()
        if isinstance(body, bytes) and len(body) > streaming.PIECE_BYTES and route is not None:
            body = Stream(streaming.pieces(body), content_type, len(body))
        length = body.length if isinstance(body, Stream) else len(body)
        await self._send_head(scope, request, status, content_type, length, send)
        if request.method == "HEAD" or isinstance(body, bytes):
            await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})
        elif route is not None:
            await self._stream(route, request, body, receive, send, perf_counter() - started)
        log_request(self._log, route, request, 499 if gone else status, perf_counter() - started)

    def _find_client(self, scope: Scope, request: Request[Any]) -> None:
        """Find the client's address, also for a request that is malformed: its log line names the network."""
        peer: str = (scope.get("client") or ("", 0))[0]
        request.client, request.client_is_certain = self._clients.find(peer, request.request_headers)

    def _admit(self, scope: Scope, request: Request[Any], origin: str | None) -> Route:
        """Find the route, and check that the origin may call it."""
        match = self._router.find(request.method, scope["path"])
        request.parameters, request.cors = match.parameters, match.route.cors
        if origin is not None and not match.route.page and not self._cors.allows(origin):
            raise OriginNotAllowed
        return match.route

    async def _answer(
        self, route: Route, request: Request[Any], receive: Receive, held: ExitStack
    ) -> tuple[int, bytes, bytes | Stream]:
        """Run guard and handler under the route's one deadline."""
        try:
            async with asyncio.timeout(route.deadline_s + (route.limit.seconds if route.body else 0)) as deadline:
                request.caller = await route.auth.authenticate(self.services, request, route.rate_limit)
                if route.max_concurrent is not None:
                    limit_key = request.limit_key or client_ip.rate_limit_prefix(request.client)
                    held.enter_context(self._limits.acquire(route.path, limit_key, route.max_concurrent))
                arguments: list[object] = []
                if route.query is not None:
                    arguments.append(read_query(request.query_string, route.query))
                if (by_type := self._decoders.get(route)) is not None:
                    arguments.insert(0, await self._decode(route, request, receive, by_type))
                    deadline.reschedule(asyncio.get_running_loop().time() + route.deadline_s)
                if route.idempotent == "yes":
                    result = await self._once(self.services, route, request, arguments)
                else:
                    result = await route.handler(self.services, request, *arguments)
        except ReplayedResponse as before:
            result = before.answer
        except TimeoutError:
            raise Unavailable("The request exceeded its time limit; retry.", retry_after=1) from None
        except (ApiError, ClientDisconnected):
            raise
        except Exception as error:
            self._log.error("request failed", error=error, request_id=request.request_id, route=route.path)
            raise InternalError from error
        if result is None:
            return 204, b"", b""
        if isinstance(result, Stream):
            return route.status, result.content_type, result
        if isinstance(result, Response):
            body = result.body if isinstance(result.body, bytes) else schemas.encode(result.body)
            return result.status, result.content_type, body
        return route.status, b"application/json", schemas.encode(result)

    async def _decode(
        self, route: Route, request: Request[Any], receive: Receive, by_type: dict[str, Decode]
    ) -> object:
        if route.body_optional and is_bodiless(request):
            return by_type[JSON](b"{}")
        with (
            self._limits.acquire("body", client_ip.rate_limit_prefix(request.client), BODIES_AT_ONCE),
            self._places.lend(),
        ):
            media_type, raw = await read_body(request, receive, by_type, route.limit)
        return by_type[media_type](raw)

    async def _stream(
        self, route: Route, request: Request[Any], stream: Stream, receive: Receive, send: Send, elapsed_s: float
    ) -> None:
        """Send a stream within what is left of the route's one deadline; the log line says how it broke."""
        try:
            broken = await streaming.send_all(stream, receive, send, route.deadline_s - elapsed_s, self._finishing)
        except ApiError as refusal:
            broken = refusal.code
        except Exception as error:
            self._log.error("stream failed", error=error, request_id=request.request_id, route=route.path)
            broken = InternalError.code
        if broken is not None:
            request.log["broken"] = broken

    async def _send_head(
        self, scope: Scope, request: Request[Any], status: int, content_type: bytes, length: int | None, send: Send
    ) -> None:
        """Begin the response; the length of a stream is unknown."""
        headers = [(b"x-request-id", request.request_id.encode()), _NO_SNIFF, *request.headers]
        if request.cors:
            origins = request.request_headers.get(b"origin")
            headers += self._cors.headers(origins[0].decode("latin-1") if origins else None, request.origins)
        if scope["path"].startswith("/api/"):
            headers.append(_NO_STORE)
        if length != 0:
            headers.append((b"content-type", content_type))
        if status not in (204, 304) and length is not None:
            headers.append((b"content-length", b"%d" % length))
        await send({"type": "http.response.start", "status": status, "headers": headers})
