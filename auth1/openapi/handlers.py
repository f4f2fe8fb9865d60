"""GET /openapi.json and /docs. Nothing is read or made before somebody asks."""

import asyncio

from auth1.core.http.request import Answer, Call
from auth1.openapi import page
from auth1.services import Services

_KEEP = (b"cache-control", b"public, max-age=300")


async def openapi(app: Services, call: Call[None]) -> Answer:
    """Describe this API in OpenAPI 3.1."""
    call.headers.append(_KEEP)
    return Answer(await asyncio.to_thread(page.SNAPSHOT.read_bytes))


async def docs(app: Services, call: Call[None]) -> Answer:
    """Show this API to people: every operation with its parameters, answers, refusals and a command to try."""
    text, policy = await asyncio.to_thread(page.rendered)
    call.headers += [
        _KEEP,
        (b"content-security-policy", policy),
        (b"referrer-policy", b"no-referrer"),
    ]
    return Answer(text, content_type=b"text/html; charset=utf-8")
