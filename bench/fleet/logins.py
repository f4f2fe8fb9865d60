"""Logins that begin at a constant rate, each on its own connections, whatever the responses do.

With `patience_s` 0 nothing is retried, and each response other than the expected one is a failure. Otherwise a client
retries 503 and lost connections for so long, each time after one to two seconds. A response that no retry can improve
fails the login.
"""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Coroutine, Iterator
from time import perf_counter
from typing import Any, NamedTuple, Self

import msgspec

from bench.client import Response, exchange
from bench.phones import phones
from bench.wire import Wire

RETRY_AFTER_S = 1.0
CODE_S = 30.0  # the outbox sends a message again when its claim of 15 s is over
POLL_S = 0.05


class Failed(Exception):
    """A login failed; the message has the reason."""


class Acknowledged(NamedTuple):
    """A login that was acknowledged: its rows must survive."""

    at: float
    session: dict[str, Any]


class Logins:
    """`async with` starts them and waits for the last ones at the end.

    `uses_session`: a login is followed by a read of the account, a refresh and a logout.
    """

    def __init__(
        self,
        port: int,
        codes_port: int,
        key: str,
        rate: float,
        *,
        numbers: Iterator[str] | None = None,
        patience_s: float = 0.0,
        uses_session: bool = False,
    ) -> None:
        self._port, self._codes_port, self._rate = port, codes_port, rate
        self.key = key
        self._wire = Wire(key)
        self._numbers = numbers or phones()
        self._patience_s = patience_s
        self._uses_session = uses_session
        self._running: set[asyncio.Task[None]] = set()
        self.acknowledged: list[Acknowledged] = []
        self.served: list[float] = []  # when each successful response arrived
        self.requests = 0
        self.begun = 0
        self.retried: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.times_s: list[float] = []  # of successful requests
        self.without_code: list[str] = []  # phones whose code did not arrive
        self.without_session: list[str] = []  # phones whose verification failed
        self.newest: dict[str, Response] = {}  # by path

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, *self._running, return_exceptions=True)

    async def _run(self) -> None:
        started = perf_counter()
        for number in itertools.count():
            await asyncio.sleep(max(0.0, started + number / self._rate - perf_counter()))
            self.begun += 1
            login = asyncio.create_task(self.count(self._log_in(next(self._numbers))))
            self._running.add(login)
            login.add_done_callback(self._running.discard)

    async def count(self, flow: Coroutine[Any, Any, object]) -> None:
        """Run a part of a login and count its failure."""
        try:
            await flow
        except Failed as error:
            self.failed[str(error)] += 1
        except Exception as error:  # a fault of this program must not be missed
            self.failed[repr(error)] += 1

    async def _log_in(self, phone: str) -> None:
        reasons: list[str] = []
        await self._send(self._wire.request(phone), "/api/auth/request", accepts="resend_too_soon", reasons=reasons)
        verify = self._wire.verify(phone, await self._read_code(phone, reasons))
        try:
            session = (await self._send(verify, "/api/auth/verify")).json()
        except Failed:
            self.without_session.append(phone)
            raise
        self.acknowledged.append(Acknowledged(perf_counter(), session))
        if self._uses_session:
            await self.use(session)

    async def use(self, session: dict[str, Any]) -> None:
        """Read the account, refresh, and log out."""
        await self._send(self._wire.check(session["token"]), "/api/auth/me")
        refreshed = await self.refresh(session)
        await self._send(self._wire.log_out(refreshed["token"]), "/api/auth/logout")

    async def refresh(self, session: dict[str, Any]) -> dict[str, Any]:
        """Refresh a session; return the new tokens."""
        response = await self._send(self._wire.refresh(session["refresh_token"]), "/api/auth/token")
        refreshed: dict[str, Any] = response.json()
        return refreshed

    async def _read_code(self, phone: str, reasons: list[str]) -> str:
        end = perf_counter() + CODE_S
        question = f"GET /codes/{phone} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
        while (code := await exchange(self._codes_port, question)).status != 200:
            if perf_counter() >= end:
                self.without_code.append(phone)
                raise Failed(" after ".join(["no code arrived", *reasons[-1:]]))
            await asyncio.sleep(POLL_S)
        return code.body.decode()

    async def _send(self, request: bytes, path: str, accepts: str = "", reasons: list[str] | None = None) -> Response:
        """Return a successful response. Raises Failed. Appends to `reasons` why each attempt failed.

        After a retry, the error code `accepts` means that an earlier attempt was committed. After an undelivered
        message it is retried.
        """
        reasons = [] if reasons is None else reasons
        end = perf_counter() + self._patience_s
        was_undelivered = False
        for attempt in itertools.count():
            self.requests += 1
            try:
                response: Response | None = await exchange(self._port, request)
            except (OSError, TimeoutError) as error:
                response, reason = None, f"{path} {type(error).__name__}"
            if response is not None:
                if response.status in (200, 204):
                    self.times_s.append(response.elapsed_s)
                    self.served.append(perf_counter())
                    self.newest[path] = response
                    return response
                code = error_code(response)
                reason = f"{path} {response.status} {code}"
                if attempt and code == accepts and not was_undelivered:
                    return response
                was_undelivered = was_undelivered or code == "delivery_failed"
                if response.status not in (502, 503, 504) and code != accepts:
                    raise Failed(" after ".join([reason, *reasons[-1:]]))
            if perf_counter() >= end:
                raise Failed(reason)
            self.retried[reason] += 1
            reasons.append(reason)
            await asyncio.sleep(RETRY_AFTER_S * random.uniform(1.0, 2.0))
        raise AssertionError


def error_code(response: Response) -> str:
    """Return the code of a problem document; the reason too where the service was unavailable."""
    try:
        problem = msgspec.json.decode(response.body)
        return f"{problem['code']}: {problem['detail']}" if response.status == 503 else str(problem["code"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return "of the proxy"


def listed(counts: Counter[str]) -> str:
    """Format counts of reasons."""
    return ", ".join(f"{count} × {reason}" for reason, count in counts.most_common()) or "none"
