"""GET /, /docs and /openapi.json. Nothing is read or made before the first request."""

import asyncio
import threading
from collections.abc import Callable

from auth1.core.http.request import Request, Response
from auth1.core.http.static import StaticDocument, respond
from auth1.openapi import page
from auth1.pages.theme import stylesheet
from auth1.services import Services

_INDEX = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Auth1</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>Auth1</h1>
<p>This server signs users in by SMS and email.</p>
<p><a class="button" href="/docs">API reference</a></p>
</main>
</body>
</html>
"""


async def index(app: Services, request: Request[None]) -> Response:
    """Show a page with a link to the API reference."""
    return respond(await _document(_index), request)


async def openapi(app: Services, request: Request[None]) -> Response:
    """Describe this API in OpenAPI 3.1."""
    return respond(await _document(_openapi), request)


async def docs(app: Services, request: Request[None]) -> Response:
    """Show the API reference: each operation with its parameters, responses, errors and a command."""
    return respond(await _document(_docs), request)


def _index() -> StaticDocument:
    style = stylesheet(None)
    policy = f"default-src 'none'; style-src 'sha256-{style.sha256}'; base-uri 'none'; form-action 'none'; "
    headers = [
        (b"content-security-policy", f"{policy}frame-ancestors 'none'".encode()),
        (b"referrer-policy", b"no-referrer"),
    ]
    return StaticDocument(_INDEX.format(style=style.text).encode(), b"text/html; charset=utf-8", headers)


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
