"""GET /, /docs, its sections, and /openapi.json. Nothing is read or made before the first request."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeAlias

from auth1.core.http.request import Request, Response
from auth1.core.http.static import StaticDocument, respond
from auth1.errors import NotFound
from auth1.openapi import page
from auth1.pages.theme import stylesheet
from auth1.services import Services

Documents: TypeAlias = dict[str, StaticDocument]  # by the name in the path; "" where there is one only

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
    return respond((await _made(app, _index))[""], request)


async def openapi(app: Services, request: Request[None]) -> Response:
    """Describe this API in OpenAPI 3.1."""
    return respond((await _made(app, _openapi))[""], request)


async def docs(app: Services, request: Request[None]) -> Response:
    """Show the first page of the API reference: keys, the first request, errors and rate limits."""
    return respond((await _made(app, _docs))[""], request)


async def docs_section(app: Services, request: Request[None]) -> Response:
    """Show a section of the API reference: each operation with its parameters, responses, errors and a command."""
    page = (await _made(app, _docs)).get(request.parameters["section"])
    if page is None:
        raise NotFound
    return respond(page, request)


def _index(host: str) -> Documents:
    style = stylesheet(None)
    policy = f"default-src 'none'; style-src 'sha256-{style.sha256}'; base-uri 'none'; form-action 'none'; "
    headers = [
        (b"content-security-policy", f"{policy}frame-ancestors 'none'".encode()),
        (b"referrer-policy", b"no-referrer"),
    ]
    return {"": StaticDocument(_INDEX.format(style=style.text).encode(), b"text/html; charset=utf-8", headers)}


def _openapi(host: str) -> Documents:
    return {"": StaticDocument(page.SNAPSHOT.read_bytes(), b"application/json")}


def _docs(host: str) -> Documents:
    pages, policy = page.reference(host)
    headers = [(b"content-security-policy", policy), (b"referrer-policy", b"no-referrer")]
    return {name: StaticDocument(text, b"text/html; charset=utf-8", headers) for name, text in pages.items()}


_documents: dict[tuple[Callable[[str], Documents], str], Documents] = {}
_making = threading.Lock()


async def _made(app: Services, make: Callable[[str], Documents]) -> Documents:
    """Return documents by name, made once however many first requests come at the same time."""
    host = app.settings.app_url
    documents = _documents.get((make, host))
    return documents if documents is not None else await asyncio.to_thread(_make, make, host)


def _make(make: Callable[[str], Documents], host: str) -> Documents:
    with _making:
        if (make, host) not in _documents:
            _documents[make, host] = make(host)
        return _documents[make, host]
