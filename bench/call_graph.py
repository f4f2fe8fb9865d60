"""Print the functions of Auth1 that one request runs.

    python -m bench.call_graph [--functions]

One POST /api/auth/request, one POST /api/auth/verify and one delivery report run in this process, warm, under
`sys.setprofile`. A coroutine counts once, however often it is resumed. Comprehensions and lambdas do not count. The
modules of the HTTP transport are also counted apart, because they stand in for a library's, and so are those of fraud.
The last line is the size of the OpenAPI generator and of its document.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from urllib.parse import urlencode

from bench import twilio
from bench.accounts import ROOT
from bench.inside import Inside, inside
from bench.phones import phones
from bench.stage import Stage, set_up

PACKAGE = ROOT / "auth1"
TRANSPORT = "core.outbound."
FRAUD = "fraud."
WARM_UP = 3
APP_URL = "https://auth.example.com"
CALLBACK_PATH = "/api/callbacks/twilio/status"


@contextmanager
def record_calls(calls: Counter[CodeType]) -> Iterator[None]:
    """Count the calls of functions that are defined in the package."""

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(PACKAGE)) and not code.co_name.startswith("<"):
            # The argument of RESUME is 0 at the start of a function, and 1 to 3 where a coroutine continues.
            calls[code] += code.co_code[frame.f_lasti + 1] == 0

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def module(code: CodeType) -> str:
    """Return the module of a function, below the package."""
    return ".".join(Path(code.co_filename).relative_to(PACKAGE).with_suffix("").parts)


def parameters(code: CodeType) -> int:
    """Return the number of parameters of a function, `self` included."""
    return code.co_argcount + code.co_kwonlyargcount


def print_calls(title: str, calls: Counter[CodeType], *, functions: bool) -> None:
    """Print one line of figures; and each function on request."""
    calls = +calls
    modules = {module(code) for code in calls}
    in_transport, in_fraud = (sum(name.startswith(part) for name in modules) for part in (TRANSPORT, FRAUD))
    longest = max(calls, key=parameters)
    print(
        f"{title}: {len(modules)} modules ({in_fraud} of fraud, {in_transport} of the transport), "
        f"{calls.total()} calls of {len(calls)} functions; "
        f"most parameters: {parameters(longest)} ({module(longest)}.{longest.co_qualname})"
    )
    if functions:
        for code, number in sorted(calls.items(), key=lambda item: (module(item[0]), item[0].co_firstlineno)):
            print(f"    {module(code)}.{code.co_qualname}" + (f" x {number}" if number > 1 else ""))


def print_openapi() -> None:
    """Print the lines of the OpenAPI generator and of its document."""
    folder = PACKAGE / "openapi"
    generator = sum(len(file.read_text().splitlines()) for file in folder.glob("*.py"))
    document = len((folder / "openapi.json").read_text().splitlines())
    print(f"OpenAPI: {generator:,} lines of generator, {document:,} lines of openapi.json")


async def newest_message(auth1: Inside) -> str:
    """Return the id of the tenant's newest message."""
    token = auth1.services.settings.admin_token
    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())]
    path = f"/api/admin/tenants/{auth1.tenant.tenant_id}/messages"
    messages = json.loads(await auth1.call("GET", path, headers, query=b"limit=1"))["data"]
    return str(messages[0]["message_id"])


async def report_delivery(auth1: Inside, message_id: str) -> None:
    """Report a message as delivered, as Twilio does."""
    query = urlencode({"tenant_id": auth1.tenant.tenant_id, "message_id": message_id})
    form = {"MessageSid": "SM" + "5" * 32, "MessageStatus": "delivered"}
    signed = f"{APP_URL}{CALLBACK_PATH}?{query}" + "".join(name + form[name] for name in sorted(form))
    signature = base64.b64encode(hmac.digest(twilio.AUTH_TOKEN.encode(), signed.encode(), hashlib.sha1))
    body = urlencode(form).encode()
    headers = [
        (b"host", b"localhost"),
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"content-length", b"%d" % len(body)),
        (b"x-twilio-signature", signature),
    ]
    await auth1.call("POST", CALLBACK_PATH, headers, body, query.encode())


async def count_calls(stage: Stage) -> dict[str, Counter[CodeType]]:
    """Run the three requests until they are warm, then once more; count the last ones."""
    counted: dict[str, Counter[CodeType]] = {title: Counter() for title in ("request", "verify", "delivery report")}
    numbers = phones()
    async with inside(stage) as auth1:
        for _ in range(WARM_UP):
            await auth1.log_in(next(numbers))
        await report_delivery(auth1, await newest_message(auth1))
        number = next(numbers)
        with record_calls(counted["request"]):
            await auth1.ask(number)
        code = await auth1.phone.read(number)
        with record_calls(counted["verify"]):
            await auth1.answer(number, code)
        message_id = await newest_message(auth1)
        with record_calls(counted["delivery report"]):
            await report_delivery(auth1, message_id)
    return counted


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.call_graph", description=__doc__.partition("\n")[0])
    parser.add_argument("--functions", action="store_true", help="print each function")
    options = parser.parse_args()
    with set_up() as stage:
        with_address = replace(stage, environment={**stage.environment, "APP_URL": APP_URL})
        counted = asyncio.run(count_calls(with_address))
    for title, calls in counted.items():
        print_calls(title, calls, functions=options.functions)
    print_openapi()


if __name__ == "__main__":
    main()
