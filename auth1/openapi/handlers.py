"""GET /openapi.json and /docs. Nothing is read or made before somebody asks."""

import asyncio

from auth1.core.http.request import Request, Response
from auth1.openapi import page
from auth1.services import Services

_KEEP = (b"cache-control", b"public, max-age=300")


async def openapi(app: Services, request: Request[None]) -> Response:
    """Describe this API in OpenAPI 3.1."""
    request.headers.append(_KEEP)
    return Response(await asyncio.to_thread(page.SNAPSHOT.read_bytes))


async def docs(app: Services, request: Request[None]) -> Response:
    """Show this API to people: every operation with its parameters, answers, refusals and a command to try."""
    text, policy = await asyncio.to_thread(page.rendered)
    request.headers += [
        _KEEP,
        (b"content-security-policy", policy),
        (b"referrer-policy", b"no-referrer"),
    ]
    return Response(text, content_type=b"text/html; charset=utf-8")
