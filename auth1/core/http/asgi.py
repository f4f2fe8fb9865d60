"""ASGI: scope, receive and send on one side, calls of typed handlers on the other.

One request: find the route -> guard (who calls, is there room for it) -> read at most 16 KiB and decode them into the
route's Struct -> handler -> encode. Refusals become problem documents in one place, one deadline holds for all of it,
and one log line tells of it.
"""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from time import perf_counter
from typing import Any, Generic, TypeVar

import msgspec

from auth1 import metrics
from auth1.core import schemas
from auth1.core.http import client_ip, framing, problems, streaming
from auth1.core.http.concurrency import ConcurrencyLimiter
from auth1.core.http.cors import Cors
from auth1.core.http.request import (
    CSV,
    FORM,
    JSON,
    NDJSON,
    ClientDisconnected,
    Form,
    Receive,
    ReplayedResponse,
    Request,
    Response,
    Stream,
    Upload,
    is_bodiless,
    read_body,
)
from auth1.core.http.router import Route, Router
from auth1.core.ids import new_id
from auth1.core.log import Log
from auth1.errors import (
    ApiError,
    InternalError,
    OriginNotAllowed,
    Unavailable,
)

MAX_IN_FLIGHT = 1000  # per worker; more would only wait in line for the pool

Scope = Mapping[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Services = TypeVar("Services")
Once = Callable[[Services, Route, Request[Any], Sequence[object]], Awaitable[object]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.\-]{8,128}")
_NO_STORE = (b"cache-control", b"no-store")
_NO_SNIFF = (b"x-content-type-options", b"nosniff")


Decode = Callable[[bytes], object]


def _decoders(route: Route) -> dict[str, Decode]:
    """How a route's body is decoded, by media type."""
    if route.body is Form:
        return {FORM: Form.decode}
    if route.body is Upload:
        return {media_type: partial(Upload, media_type) for media_type in (NDJSON, CSV)}
    decoders: dict[str, Decode] = {JSON: partial(schemas.decode, msgspec.json.Decoder(route.body))}
    if route.form:
        decoders[FORM] = lambda raw: schemas.convert(dict(Form.decode(raw).pairs), route.body)
    return decoders


class App(Generic[Services]):
    """The ASGI application: `start` makes the services of this worker, `stop` puts them away.

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
        self._decoders = {route: _decoders(route) for route in routes if route.body is not None}
        self._log = log
        self._cors = cors
        self._trusted_proxies = trusted_proxies
        self._start = start
        self._stop = stop
        self._once = once
        self._in_flight = 0
        self._warned = False
        self._limits = ConcurrencyLimiter()
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
                with ExitStack() as held:  # until all of the answer has left
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
            # Raised, this would be swallowed and the server would go on without services.
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

        The server would wait for clients that do not read. What it has sent is in the kernel and still leaves.
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
        try:
            framing.check(scope, headers)
            framing.check_path(scope)
            origin = request.header(b"origin")
            if request.method == "OPTIONS":
                allow = self._router.allow(scope["path"])
                request.headers += [(b"allow", allow.encode()), *self._cors.preflight(origin)]
                status, content_type, body = 204, b"", b""
            else:
                route = self._admit(scope, request, origin)
                status, content_type, body = await self._answer(route, request, receive, held)
        except ClientDisconnected:
            self._log.info("request", request_id=request_id, route=route and route.path, status=499)
            return
        except ApiError as refusal:
            status, content_type = refusal.status, problems.CONTENT_TYPE
            body = schemas.encode(problems.problem(refusal, request_id))
            request.headers += problems.headers(refusal)
            request.log["code"] = refusal.code
            metrics.ERROR_RESPONSES.labels(refusal.code).inc()
        if isinstance(body, Stream):
            await self._send_head(scope, request, status, content_type, None, send)
            if request.method == "HEAD":
                await send({"type": "http.response.body", "body": b""})
            elif route is not None:
                await self._stream(route, request, body, receive, send, perf_counter() - started)
        else:
            await self._send_head(scope, request, status, content_type, len(body), send)
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        self._tell(route, request, status, perf_counter() - started)

    def _admit(self, scope: Scope, request: Request[Any], origin: str | None) -> Route:
        """Find the client's address and the route, and see whether there is room for the request."""
        peer: str = (scope.get("client") or ("", 0))[0]
        forwarded_for = [value.decode("latin-1") for value in request.request_headers.get(b"x-forwarded-for", [])]
        request.client = client_ip.client_address(peer, forwarded_for, self._trusted_proxies)
        if forwarded_for and not self._warned and client_ip.is_untrusted_private_peer(peer, self._trusted_proxies):
            self._warned = True  # else all who come through it share one address, and its limits
            self._log.warn("X-Forwarded-For is not believed: name your proxy in TRUSTED_PROXIES", peer=peer)
        match = self._router.find(request.method, scope["path"])
        request.parameters = match.parameters
        if origin is not None and not match.route.page and not self._cors.allows(origin):
            raise OriginNotAllowed
        if self._in_flight > MAX_IN_FLIGHT and not match.route.quiet:
            raise Unavailable("Too many requests are under way.", retry_after=1)
        return match.route

    async def _answer(
        self, route: Route, request: Request[Any], receive: Receive, held: ExitStack
    ) -> tuple[int, bytes, bytes | Stream]:
        """Run guard and handler under the route's one deadline."""
        try:
            async with asyncio.timeout(route.deadline_s + (route.limit.seconds if route.body else 0)) as deadline:
                request.caller = await route.guard(self.services, request)
                if route.max_concurrent is not None:
                    held.enter_context(self._limits.acquire(route.path, request.limit_key, route.max_concurrent))
                arguments: list[object] = []
                if (decoders := self._decoders.get(route)) is not None:
                    arguments = [await self._decode(route, request, receive, decoders)]
                    deadline.reschedule(asyncio.get_running_loop().time() + route.deadline_s)
                if route.idempotent == "yes":
                    result = await self._once(self.services, route, request, arguments)
                else:
                    result = await route.handler(self.services, request, *arguments)
        except ReplayedResponse as before:
            result = before.answer
        except TimeoutError:
            raise Unavailable("The request took too long.", retry_after=1) from None
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
        self, route: Route, request: Request[Any], receive: Receive, decoders: dict[str, Decode]
    ) -> object:
        if route.body_optional and is_bodiless(request):
            return decoders[JSON](b"{}")
        media_type, raw = await read_body(request, receive, decoders, route.limit)
        return decoders[media_type](raw)

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
        """Begin the response; of a stream nobody knows the length."""
        headers = [(b"x-request-id", request.request_id.encode()), _NO_SNIFF, *request.headers]
        origins = request.request_headers.get(b"origin")
        headers += self._cors.headers(origins[0].decode("latin-1") if origins else None, request.origins)
        if scope["path"].startswith("/api/"):
            headers.append(_NO_STORE)
        if length != 0:
            headers.append((b"content-type", content_type))
        if status != 204 and length is not None:
            headers.append((b"content-length", b"%d" % length))
        await send({"type": "http.response.start", "status": status, "headers": headers})

    def _tell(self, route: Route | None, request: Request[Any], status: int, elapsed_s: float) -> None:
        path = route.path if route else "none"
        method = request.method if route else "other"  # anyone can invent methods; a label must be bounded
        metrics.HTTP_REQUESTS.labels(method, path, str(status)).inc()
        metrics.HTTP_DURATION.labels(path).observe(elapsed_s)
        tell = self._log.debug if route and route.quiet else self._log.info
        tell(
            "request",
            request_id=request.request_id,
            method=request.method[:16],
            route=path,
            status=status,
            duration_ms=round(elapsed_s * 1000, 2),
            **request.log,
        )
