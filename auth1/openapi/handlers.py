"""GET /openapi.json and /docs. Nothing is read or made before the first request."""

import asyncio
import threading
from collections.abc import Callable

from auth1.core.http.request import Request, Response
from auth1.core.http.static import StaticDocument, respond
from auth1.openapi import page
from auth1.services import Services


async def openapi(app: Services, request: Request[None]) -> Response:
    """Describe this API in OpenAPI 3.1."""
    return respond(await _document(_openapi), request)


async def docs(app: Services, request: Request[None]) -> Response:
    """Show this API to people: every operation with its parameters, answers, refusals and a command to try."""
    return respond(await _document(_docs), request)


def _openapi() -> StaticDocument:
    return StaticDocument(page.SNAPSHOT.read_bytes(), b"application/json")


def _docs() -> StaticDocument:
    text, policy = page.rendered()
    headers = [(b"content-security-policy", policy), (b"referrer-policy", b"no-referrer")]
    return StaticDocument(text, b"text/html; charset=utf-8", headers)


_documents: dict[Callable[[], StaticDocument], StaticDocument] = {}
_making = threading.Lock()


async def _document(make: Callable[[], StaticDocument]) -> StaticDocument:
    """Return a document, made once however many first requests come at the same time."""
    return _documents[make] if make in _documents else await asyncio.to_thread(_make, make)


def _make(make: Callable[[], StaticDocument]) -> StaticDocument:
    with _making:
        if make not in _documents:
            _documents[make] = make()
        return _documents[make]
