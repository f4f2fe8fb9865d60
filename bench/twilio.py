"""A fake Twilio: a small HTTP server in a separate process, so that its cost is not counted.

    POST /2010-04-01/Accounts/…/Messages.json    accepts every message at once
    GET  /codes/+12015550100                     the code in the newest message to a number, once
    GET  /counts                                 the number of messages of each number, as JSON

It listens on two ports: one for Auth1, with TLS where a certificate is given, and one without TLS for the benchmarks,
which read the codes. `Twilio` starts it. It ends with its standard input, so with the process that started it.
"""

import asyncio
import itertools
import json
import re
import ssl
import subprocess
import sys
from collections import Counter
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs

import uvloop

from bench.accounts import ROOT

ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "a token that only the benchmarks know"
SERVICE_SID = "MG" + "0" * 32

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_messages = itertools.count()
_CODE = re.compile(r"code is: (\d+)\.")


class Twilio:
    """The process of the fake Twilio. `certificate`: a PEM file with key and certificate, for TLS.

    `url` is for Auth1, `port` for readers of codes.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self._certificate = certificate

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bench.twilio", *([str(self._certificate)] if self._certificate else [])]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdout is not None
        self._api_port, self.port = map(int, self._process.stdout.readline().split())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # ends its input

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def url(self) -> str:
        return f"{'https' if self._certificate else 'http'}://127.0.0.1:{self._api_port}"


class _Connection(asyncio.Protocol):
    """Serves the requests of one connection in order."""

    _transport: asyncio.Transport

    def __init__(self, codes: dict[str, str], counts: Counter[str]) -> None:
        self._codes = codes
        self._counts = counts
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # asyncio promises less than TCP gives

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._data) < whole:
                return
            body, self._data = self._data[end + 4 : whole], self._data[whole:]
            method, path, _ = head.decode("latin-1").split(" ", 2)
            status, answer = self._take(body) if method == "POST" else self._hand_out(path)
            self._transport.write(
                b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (status, status.phrase.encode(), len(answer), answer)
            )

    def _take(self, body: bytes) -> tuple[HTTPStatus, bytes]:
        form = parse_qs(body.decode())
        if code := _CODE.search(form["Body"][0]):
            self._codes[form["To"][0]] = code[1]
        self._counts[form["To"][0]] += 1
        sid = f"SM{next(_messages):032x}"
        return HTTPStatus.CREATED, b'{"sid":"%b","status":"accepted","error_code":null}' % sid.encode()

    def _hand_out(self, path: str) -> tuple[HTTPStatus, bytes]:
        if path == "/counts":
            return HTTPStatus.OK, json.dumps(self._counts).encode()
        code = self._codes.pop(path.removeprefix("/codes/"), None)
        return (HTTPStatus.OK, code.encode()) if code else (HTTPStatus.NOT_FOUND, b"")


async def _serve(certificate: str | None = None) -> None:
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    codes: dict[str, str] = {}
    counts: Counter[str] = Counter()
    servers = [
        await loop.create_server(lambda: _Connection(codes, counts), "127.0.0.1", 0, backlog=1024, ssl=context)
        for context in (tls, None)
    ]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)  # nothing is ever written: readable means that the parent has ended
    await ended.wait()


if __name__ == "__main__":
    uvloop.run(_serve(*sys.argv[1:]))
