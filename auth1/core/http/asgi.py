"""Map ASGI requests to calls of typed handlers.

One request: find the route -> guard (authentication, rate limit) -> read at most 16 KiB and decode them into the
route's Struct -> handler -> encode. Errors become responses in one place. A request has one deadline and one log line.
Work that a route or request does not use is not done, such as CORS without an Origin header.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

from auth1 import metrics
from auth1.core.http import client_ip, problems, streaming
from auth1.core.http.bodies import Answer, decoders, empty_body, encode_result
from auth1.core.http.concurrency import BodyLimiter, BurstLimiter, ConcurrencyLimiter, too_many
from auth1.core.http.cors import ANY_ORIGIN, PREFLIGHT, Cors
from auth1.core.http.lifecycle import Lifecycle, Send, Services
from auth1.core.http.query import read_query
from auth1.core.http.request import (
    ClientDisconnected,
    EarlyResponse,
    Receive,
    Request,
    Scope,
    Site,
    Stream,
    is_bodiless,
    read_body,
)
from auth1.core.http.router import Route, Router
from auth1.core.telemetry import tracing
from auth1.core.telemetry.log import Log
from auth1.errors import ApiError, BadRequest, InternalError, OriginNotAllowed, RequestTimeout, Unavailable

__all__ = ["App", "Scope", "Send"]

MAX_RUNNING = 1000  # requests per worker; more would only wait for the pool
BODIES_AT_ONCE = 512  # being received, per client address; not part of MAX_RUNNING

Once = Callable[[Services, Route, Request[Any], Sequence[object]], Awaitable[object]]
OnTrace = Callable[[Services, Request[Any]], Awaitable[None]]
Sites = Callable[[Services], Mapping[bytes | None, Site]]  # by Host header

_NO_STORE = (b"cache-control", b"no-store")
_NO_SNIFF = (b"x-content-type-options", b"nosniff")
_NO_ADDRESS = ("", 0)  # of a unix socket
_STATUS = {status: str(status) for status in range(100, 600)}


class App(Lifecycle[Services]):
    """The ASGI application: `start` creates the services of this worker, `stop` closes them.

    `once` runs idempotent handlers. `on_trace` gets each traced request that is authenticated. `sites`: own hosts.
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
        on_trace: OnTrace[Services],
        sites: Sites[Services],
    ) -> None:
        super().__init__(log, start, stop)
        self._router = Router([route._replace(decoders=decoders(route)) for route in routes])
        self._cors = cors
        self._clients = client_ip.ClientFinder(trusted_proxies, log)
        self._once = once
        self._on_trace = on_trace
        self._sites = sites
        self._limits = ConcurrencyLimiter()
        self._bodies = BodyLimiter()
        self._bursts = BurstLimiter()
        self._running = 0  # requests, except those that wait for their client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            request: Request[Any] = Request(scope)
            self._in_flight += 1
            metrics.HTTP_IN_FLIGHT.inc()
            try:
                if tracing.HEADER in request.request_headers or tracing.tracer() is not None:
                    with tracing.request(request.values(tracing.HEADER)):
                        await self._http(scope, request, receive, send)
                else:
                    await self._http(scope, request, receive, send)
            finally:
                if request.held is not None:
                    self._limits.leave(request.held)
                if request.on_end is not None:
                    request.on_end()
                metrics.HTTP_IN_FLIGHT.dec()
                self._in_flight -= 1
                if not self._in_flight:
                    self._idle.set()

    async def _http(self, scope: Scope, request: Request[Any], receive: Receive, send: Send) -> None:
        started = perf_counter()
        route: Route | None = None
        body: bytes | Stream
        gone = False
        request.path = scope["path"]
        if (site := self._sites(self.services).get(request.request_headers.get(b"host"))) is not None:
            request.site, request.path = site, site.find_path(request.path)
        self._find_client(scope, request)  # also of a malformed request: its log line names the network
        try:
            self._bursts.check(client_ip.rate_limit_prefix(request.client))
            request.check_form(scope, self._router.exact_paths)
            if request.method == "OPTIONS":
                status, content_type, body = self._options(request.path, request)
            else:
                route = self._admit(request.path, request)
                status, content_type, body = await self._answer(route, request, receive)
        except (ApiError, ClientDisconnected) as error:
            gone = isinstance(error, ClientDisconnected)  # the client of a malformed request reads a response
            api_error = error if isinstance(error, ApiError) else BadRequest("The body is malformed or incomplete.")
            if self._router.is_oauth(request.path) if route is None else route.oauth:
                status, content_type, body = problems.oauth_error(api_error)
                request.headers.append(_NO_STORE)
            elif route is not None and route.on_error is not None:
                status, content_type, body = encode_result(route, route.on_error(request, api_error))
            else:
                status, content_type, body = problems.problem_response(api_error, request.request_id)
            request.headers += problems.headers(api_error)
            request.log["code"] = api_error.code
            metrics.ERROR_RESPONSES[api_error.code].inc()
        if isinstance(body, bytes) and len(body) > streaming.PIECE_BYTES and route is not None:
            body = Stream(streaming.pieces(body), content_type, len(body))
        length = body.length if isinstance(body, Stream) else len(body)
        headers = self._response_headers(request, status, content_type, length)
        elapsed_s = perf_counter() - started
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if request.method == "HEAD" or isinstance(body, bytes):
            await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})
        elif route is not None:
            await self._stream(route, request, body, receive, send, elapsed_s)
        if not isinstance(body, Stream) or body.lasts_s is None:
            elapsed_s = perf_counter() - started
        self._log_request(route, request, 499 if gone else status, elapsed_s)

    def _find_client(self, scope: Scope, request: Request[Any]) -> None:
        peer: str = (scope.get("client") or _NO_ADDRESS)[0]
        if client_ip.FORWARDING_HEADERS.isdisjoint(request.request_headers):
            request.set_client(self._clients.direct(peer).address)
        else:
            address, request.client_is_certain = self._clients.find(peer, request.grouped_headers())
            request.set_client(address)

    def _options(self, path: str, request: Request[Any]) -> Answer:
        origin = request.header(b"origin")
        allow, request.cors, is_open = self._router.options(path)
        request.headers += [(b"allow", allow.encode())]
        if is_open:
            request.headers += ANY_ORIGIN + PREFLIGHT
        elif request.cors:
            request.headers += self._cors.preflight(origin)
        return 204, b"", b""

    def _admit(self, path: str, request: Request[Any]) -> Route:
        """Find the route. Check that the origin may call it, and that this worker has capacity for it."""
        origin = request.header(b"origin")
        route, request.parameters = self._router.find(request.method, path)
        request.check_target(route.target_bytes)
        request.cors = route.cors
        if route.any_origin:
            request.headers += ANY_ORIGIN
        elif origin is not None and not route.page and not self._cors.allows(origin):
            raise OriginNotAllowed
        if self._running >= MAX_RUNNING and not route.quiet:
            raise Unavailable("The server is at capacity; retry.", retry_after=1)
        return route

    async def _answer(self, route: Route, request: Request[Any], receive: Receive) -> Answer:
        """Run guard and handler under the route's one deadline, which begins again when the body has been read."""
        self._running += 1
        try:
            async with asyncio.timeout(route.deadline_s) as deadline:
                limit, is_by_address = route.max_concurrent, () in route.auth.security  # no credential is needed
                if limit is not None and is_by_address:
                    self._enter(route, request, limit)  # before the statement that finds what the path names
                request.caller = await route.auth.authenticate(self.services, request, route.rate_limit)
                if tracing.current() is not None:
                    await self._on_trace(self.services, request)
                if limit is not None and not is_by_address:
                    self._enter(route, request, limit)
                arguments: list[object] = []
                if route.query is not None:
                    arguments.append(read_query(request.query_string, route.query))
                if route.decoders:
                    arguments.insert(0, await self._decode(route, request, receive, deadline))
                if route.idempotent == "yes":
                    result = await self._once(self.services, route, request, arguments)
                else:
                    result = await route.handler(self.services, request, *arguments)
        except EarlyResponse as early:
            result = early.answer
        except TimeoutError:
            if (pending := request.pending_body) is not None:
                raise too_many() if pending.is_evicted else RequestTimeout from None
            raise Unavailable("The request exceeded its time limit; retry.", retry_after=1) from None
        except (ApiError, ClientDisconnected):
            raise
        except Exception as error:
            self._log.error("request failed", error=error, request_id=request.request_id, route=route.path)
            raise InternalError from error
        finally:
            self._running -= 1
        return encode_result(route, result)

    def _enter(self, route: Route, request: Request[Any], max_concurrent: int) -> None:
        limit_key = request.limit_key or client_ip.rate_limit_prefix(request.client)
        request.held = self._limits.enter(route.path, limit_key, max_concurrent)

    async def _decode(self, route: Route, request: Request[Any], receive: Receive, deadline: asyncio.Timeout) -> object:
        """Read the body within its own time, and decode it. It does not count as running meanwhile."""
        if route.body_optional and is_bodiless(request):
            return empty_body(route)
        loop = asyncio.get_running_loop()
        address = client_ip.rate_limit_prefix(request.client)
        pending = request.pending_body = self._bodies.enter(address, deadline, BODIES_AT_ONCE)
        self._running -= 1
        deadline.reschedule(loop.time() + route.limit.seconds)
        try:
            media_type, raw = await read_body(request, receive, route.decoders, route.limit)
        finally:
            self._bodies.leave(pending)
            self._running += 1
        request.pending_body = None
        request.deadline = loop.time() + route.deadline_s
        deadline.reschedule(request.deadline)
        return route.decoders[media_type](raw)

    async def _stream(
        self, route: Route, request: Request[Any], stream: Stream, receive: Receive, send: Send, elapsed_s: float
    ) -> None:
        """Send a stream within its own time or what is left of the route's deadline; the log line says how it broke."""
        is_in_progress = stream.lasts_s is None
        left_s = stream.lasts_s or route.deadline_s - elapsed_s
        metrics.HTTP_IN_FLIGHT.dec(not is_in_progress)
        began = perf_counter()
        try:
            broken = await streaming.send_all(stream, receive, send, left_s, self._finishing)
        except ApiError as api_error:
            broken = api_error.code
        except Exception as error:
            self._log.error("stream failed", error=error, request_id=request.request_id, route=route.path)
            broken = InternalError.code
        finally:
            metrics.HTTP_IN_FLIGHT.inc(not is_in_progress)
        if not is_in_progress:
            request.log["lasted_s"] = round(perf_counter() - began, 1)
        if broken is not None:
            request.log["broken"] = broken

    def _response_headers(
        self, request: Request[Any], status: int, content_type: bytes, length: int | None
    ) -> list[tuple[bytes, bytes]]:
        """Return the headers of the response; the length of a stream is unknown."""
        headers = [(b"x-request-id", request.request_id.encode()), _NO_SNIFF, *request.headers]
        if request.cors:
            if (origin := request.request_headers.get(b"origin")) is not None:
                headers += self._cors.headers(origin.decode("latin-1"), request.origins)
            else:
                headers += self._cors.without_origin if not request.origins else self._cors.varying
        if request.path.startswith("/api/"):
            headers.append(_NO_STORE)
        if length != 0:
            headers.append((b"content-type", content_type))
        if status not in (204, 304) and length is not None:
            headers.append((b"content-length", b"%d" % length))
        return headers

    def _log_request(self, route: Route | None, request: Request[Any], status: int, elapsed_s: float) -> None:
        """Log and count a completed request."""
        path = route.path if route else "none"
        method = request.method if route else "other"  # clients can invent methods; a label must be bounded
        metrics.HTTP_REQUESTS[method, path, _STATUS[status]].inc()
        metrics.HTTP_DURATION[path].observe(elapsed_s)
        metrics.count_response(request.log, status)
        if (tracer := tracing.tracer()) is not None:
            attributes = {"http.request.method": method, "http.route": path, "auth1.request_id": request.request_id}
            tracer.describe_request(f"{method} {path}", status, attributes)
        write = self._log.debug if route and route.quiet else self._log.info
        write(
            "request",
            request_id=request.request_id,
            network=request.network,
            method=request.method[:16],
            route=path,
            status=status,
            duration_ms=round(elapsed_s * 1000, 2),
            **request.log,
        )
