"""A real HTTP server in the place of Turnstile's and hCaptcha's siteverify."""

import asyncio

from tests.support.providers.twilio import Behaviour, Request, TwilioServer, answer, hang, hang_up

# Any small HTTP server that records requests and responds as configured.
SiteverifyServer = TwilioServer
SITE_KEY, SECRET, HOST = "a-site-key", "a secret that only the tests know", "app.example.com"


def solved(host: object = HOST) -> Behaviour:
    """Accept each token, as solved on a host."""
    return answer(200, {"success": True, "challenge_ts": "2026-01-01T00:00:00Z", "hostname": host, "error-codes": []})


def unsolved(*codes: str, status: int = 200) -> Behaviour:
    """Reject each token."""
    return answer(status, {"success": False, "error-codes": codes})


async def drip(request: Request, writer: asyncio.StreamWriter) -> None:
    """Send a response byte by byte, slower than the deadline."""
    writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 1000\r\n\r\n")
    for _ in range(100):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


# Faults of the service: the provider does not decide.
FAULTS: dict[str, Behaviour] = {
    "hangs": hang,
    "closes": hang_up,
    "drips": drip,
    "server error": answer(500, {"success": True, "hostname": HOST}),
    "not found": answer(404, {"success": True, "hostname": HOST}),
    "too many requests": answer(429, {"success": True, "hostname": HOST}),
    "redirect": answer(302, {"success": True, "hostname": HOST}, {"location": "http://127.0.0.1:9/"}),
    "huge": answer(200, b'{"success":true,"x":"' + b"x" * 100_000 + b'"}'),
    "not JSON": answer(200, b"<html>success</html>"),
    "not UTF-8": answer(200, b'{"success":true,"hostname":"\xff"}'),
    "list": answer(200, []),
    "nested": answer(200, b"[" * 10_000),
    "no success": answer(200, {"hostname": HOST}),
    "success is text": answer(200, {"success": "true", "hostname": HOST}),
    "internal error": unsolved("internal-error"),
}
