"""CPU per SMS through Twilio over TLS: `auth1.core.outbound` against httpx's own transport.

    python -m bench.outbound [--messages 1000] [--concurrency 1 32] [--rounds 5] [--json]
    python -m bench.outbound --parser      the response parser against h11, which httpx's transport uses

All variants send the same form to a fake Twilio in a separate process, which answers at once and whose CPU is not
counted. They run on uvloop in one process, alternately in each round. CPU is user and system time (getrusage).

    httpx                 httpx.AsyncClient with its own transport, as Auth1 used it before
    httpx with ours       the same client with auth1.core.outbound
    provider              auth1.messaging.providers.twilio, which uses the transport without the client
    httpx without I/O     the same client with a transport that does nothing

The answer has two headers only, so real responses cost a little more.
"""

import argparse
import asyncio
import json
import resource
import ssl
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import h11
import httpx
import uvloop

from auth1.config.providers import TwilioAccount
from auth1.core.outbound import Transport
from auth1.core.outbound.http1 import ResponseParser
from auth1.messaging.providers.protocol import OutgoingMessage
from auth1.messaging.providers.twilio import MAX_CONNECTIONS, Twilio
from bench import twilio
from tests.support.certificates import make_certificate

OLD, OURS = "httpx", "auth1.core.outbound"
SID = "SM" + "0" * 32
TEXT = "Your MyApp verification code is: 048291. Expires in 10 minutes."
# A response as Twilio sends it, headers included.
RESPONSE = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json;charset=utf-8\r\nContent-Length: 2\r\n"
    b"Connection: keep-alive\r\nDate: Sat, 28 Nov 2026 12:00:00 GMT\r\nTwilio-Request-Id: RQ0123456789abcdef\r\n"
    b"Twilio-Request-Duration: 0.042\r\nTwilio-Concurrent-Requests: 1\r\nX-Home-Region: us1\r\nX-API-Domain: api\r\n"
    b"Strict-Transport-Security: max-age=31536000\r\nVary: Origin\r\nX-Cache: Miss from cloudfront\r\n\r\n{}"
)

Send = Callable[[], Awaitable[object]]


class _NoTransport(httpx.AsyncBaseTransport):
    """Answers every request at once."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = b'{"sid":"%b","status":"accepted"}' % SID.encode()
        return httpx.Response(201, headers=[(b"content-type", b"application/json")], stream=httpx.ByteStream(body))


@asynccontextmanager
async def variants(url: str, tls: ssl.SSLContext) -> AsyncIterator[dict[str, Send]]:
    """Yield the ways to send one message, by name."""
    account = TwilioAccount(twilio.ACCOUNT_SID, twilio.AUTH_TOKEN, twilio.SERVICE_SID, url)
    limits = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS)
    provider = Twilio(account, f"{url}/status", Transport(tls=tls, max_connections=MAX_CONNECTIONS), timeout_scale=30)
    message = OutgoingMessage("tn_1", "msg_1", "+12015550142", TEXT, 600)

    def with_client(transport: httpx.AsyncBaseTransport) -> Send:
        client = httpx.AsyncClient(
            base_url=url,
            auth=httpx.BasicAuth(twilio.ACCOUNT_SID, twilio.AUTH_TOKEN),
            timeout=60,
            trust_env=False,
            transport=transport,
            headers={"accept": "application/json", "accept-encoding": "identity"},
        )

        async def send() -> None:
            path = f"/2010-04-01/Accounts/{twilio.ACCOUNT_SID}/Messages.json"
            async with client.stream("POST", path, data=provider.form(message)) as response:
                body = b"".join([piece async for piece in response.aiter_raw()])
            assert response.status_code == 201, body

        return send

    transports = (
        httpx.AsyncHTTPTransport(verify=tls, limits=limits),
        Transport(tls=tls, max_connections=MAX_CONNECTIONS),
        _NoTransport(),
    )
    old, ours, nothing = (with_client(transport) for transport in transports)
    yield {OLD: old, "httpx with ours": ours, "provider": lambda: provider.send(message), "httpx without I/O": nothing}
    await provider.close()
    for transport in transports:
        await transport.aclose()


async def compare(
    url: str, tls: ssl.SSLContext, messages: int, concurrency: int, rounds: int
) -> dict[str, list[float]]:
    """Return the CPU per message in ms, for each variant and round."""
    async with variants(url, tls) as sends:
        for send in sends.values():  # connections, caches
            await _send_all(send, concurrency * 2, concurrency)
        used: dict[str, list[float]] = {name: [] for name in sends}
        for turn in range(rounds):
            for name in list(sends)[:: 1 if turn % 2 else -1]:
                before = _cpu_s()
                await _send_all(sends[name], messages, concurrency)
                used[name].append((_cpu_s() - before) * 1000 / messages)
        return used


async def _send_all(send: Send, messages: int, concurrency: int) -> None:
    async def send_some(count: int) -> None:
        for _ in range(count):
            await send()

    async with asyncio.TaskGroup() as group:
        for number in range(concurrency):
            group.create_task(send_some((messages + number) // concurrency))


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def compare_parsers(rounds: int) -> dict[str, list[float]]:
    """Return the CPU per response in ms, for both parsers."""
    count = 2000
    used: dict[str, list[float]] = {OURS: [], "h11": []}
    for _ in range(rounds):
        before = time.process_time()
        for _ in range(count):
            assert ResponseParser("POST", 1000).feed(RESPONSE)
        between = time.process_time()
        for _ in range(count):
            connection = h11.Connection(h11.CLIENT)
            connection.send(h11.Request(method="POST", target="/", headers=[("host", "a")]))
            connection.send(h11.EndOfMessage())
            connection.receive_data(RESPONSE)
            while not isinstance(connection.next_event(), h11.EndOfMessage):
                pass
        used[OURS].append((between - before) * 1000 / count)
        used["h11"].append((time.process_time() - between) * 1000 / count)
    return used


def show(title: str, used: dict[str, list[float]], base: str) -> None:
    """Print medians with their ranges, and ratios to the base."""
    print(f"{title}: CPU in ms, median (least to most)")
    for name, values in used.items():
        ratio = statistics.median(used[base]) / statistics.median(values)
        span = f"{min(values):.3f} to {max(values):.3f}"
        print(f"  {name:<20} {statistics.median(values):6.3f}  ({span})  1/{ratio:.1f} of {base}")


def main() -> None:
    """Run the comparison of the command line."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--messages", type=int, default=1000)
    arguments.add_argument("--concurrency", type=int, nargs="+", default=[1, 32])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--parser", action="store_true")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    results = {}
    if options.parser:
        results["response"] = compare_parsers(options.rounds)
    else:
        with tempfile.TemporaryDirectory() as directory:
            certificate = Path(directory, "twilio.pem")
            certificate.write_bytes(make_certificate("127.0.0.1"))
            tls = ssl.create_default_context(cafile=certificate)
            with twilio.Twilio(certificate) as server:
                for at_once in options.concurrency:
                    results[f"message, {at_once} at once"] = uvloop.run(
                        compare(server.url, tls, options.messages, at_once, options.rounds)
                    )
    if options.json:
        print(json.dumps(results))
        return
    for title, used in results.items():
        show(title, used, "h11" if options.parser else OLD)


if __name__ == "__main__":
    main()
