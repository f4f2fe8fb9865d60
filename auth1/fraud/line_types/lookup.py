"""Line types and signals of phone numbers from Twilio Lookup (v2). Each package that is fetched costs money.

One call with one deadline. Nothing is retried, no redirect is followed, and `core/outbound` bounds the response. The
circuit breaker is separate from the one of Twilio's messages. Only failures of the service count against it: callers
choose the numbers, so a number without a type must not switch look-ups off for all others. Callers also choose how many
numbers are looked up at once. Those beyond our own capacity are no failure of the service.
"""

import base64
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import httpx
import msgspec

from auth1 import metrics
from auth1.config.providers import TwilioAccount
from auth1.core.circuit_breaker import CircuitBreaker
from auth1.core.outbound import NOT_SENT, AtCapacity, ResponseTooLarge, SharedSlots, Transport, is_own_shortage
from auth1.fraud.line_types.types import LookupFailure, parse_line_type
from auth1.fraud.policy import LineType

DEADLINE_S = 0.9  # a decision takes less than 1 s
CONNECT_S = 0.5
WAIT_S = 0.1  # for a slot, before the call begins
MAX_CALLS = 40  # at once; a tenant alone uses half of them
MAX_BODY_BYTES = 16 * 1024  # a response with three packages has 1 KiB
LINE_TYPE, PUMPING_RISK, SIM_SWAP = "line_type_intelligence", "sms_pumping_risk", "sim_swap"

_BREAKER = "twilio_lookup"
_BY_STATUS: dict[int, LookupFailure] = {400: "rejected", 401: "credentials", 403: "credentials", 429: "throttled"}


class LookupFailed(Exception):
    """A look-up that returned nothing of use."""

    def __init__(self, failure: LookupFailure) -> None:
        super().__init__(failure)
        self.failure: LookupFailure = failure


class LookupAnswer(NamedTuple):
    """The result of Twilio Lookup for a number; fields that were not fetched are null.

    `line_type` is `unknown` where Lookup names no type that is known here. `pumping_risk` is from 0 to 100, and null
    where Lookup has no score. `sim_swapped`: the SIM was changed within the period that Twilio's account sets; null
    where the carrier does not say.
    """

    line_type: LineType | None
    pumping_risk: int | None = None
    sim_swapped: bool | None = None


class _Response(msgspec.Struct):
    """The fields used of a response. Odd types are no reason to fail."""

    phone_number: Any = None
    line_type_intelligence: Any = None
    sms_pumping_risk: Any = None
    sim_swap: Any = None


_decode = msgspec.json.Decoder(_Response).decode


class Lookup:
    """Fetches `fields` of phone numbers: the packages that the operator buys."""

    def __init__(
        self, account: TwilioAccount, transport: httpx.AsyncBaseTransport | None = None, *, timeout_scale: float = 1.0
    ) -> None:
        self.fields = account.lookup_fields
        self.breaker = CircuitBreaker()
        self._url = f"{account.lookup_url}/v2/PhoneNumbers/"
        self._transport = transport or Transport(max_connections=MAX_CALLS, max_body_bytes=MAX_BODY_BYTES)
        self._slots = SharedSlots(MAX_CALLS)
        self._wait_s = WAIT_S * timeout_scale
        credentials = base64.b64encode(f"{account.account_sid}:{account.auth_token}".encode()).decode()
        self._headers = httpx.Headers(
            {
                "accept": "application/json",
                "accept-encoding": "identity",
                "authorization": f"Basic {credentials}",
                "user-agent": "auth1",
            }
        )
        timeout = httpx.Timeout(DEADLINE_S * timeout_scale, connect=CONNECT_S * timeout_scale)
        self._extensions = {"timeout": timeout.as_dict()}

    async def fetch(self, tenant_id: str, phone: str, fields: Sequence[str]) -> LookupAnswer:
        """Fetch packages of a number in E.164 for a tenant. Raises LookupFailed, AtCapacity."""
        try:
            async with self._slots.slot(tenant_id, self._wait_s):
                return await self._fetch(phone, fields)
        except AtCapacity:
            metrics.LOOKUPS["at_capacity"].inc()
            raise

    async def _fetch(self, phone: str, fields: Sequence[str]) -> LookupAnswer:
        if not self.breaker.allows():
            metrics.LOOKUPS["breaker_open"].inc()
            raise LookupFailed("breaker_open")
        started = time.monotonic()
        try:
            answer = _read(await self._get(phone, fields), phone, fields)
        except LookupFailed as error:
            self._count(error.failure)
            raise
        finally:
            metrics.LOOKUP_DURATION.observe(time.monotonic() - started)
        self._count("unknown_type" if answer.line_type == "unknown" else None)
        for field in fields:
            metrics.LOOKUP_PACKAGES[field].inc()
        return answer

    async def close(self) -> None:
        await self._transport.aclose()

    def _count(self, failure: LookupFailure | None) -> None:
        """Count an outcome, and report it to the circuit breaker.

        Twilio rejects an impossible number with 400. A response about another number says nothing about the service:
        callers may choose numbers that Twilio writes in another way.
        """
        metrics.LOOKUPS[failure or "ok"].inc()
        if failure in (None, "unknown_type", "rejected"):
            self.breaker.succeeded()
        elif failure != "other_number":
            self.breaker.failed()
        metrics.BREAKER_OPEN[_BREAKER].set(self.breaker.state != "closed")

    async def _get(self, phone: str, fields: Sequence[str]) -> bytes:
        """Return the body of a successful response. Raises LookupFailed, AtCapacity."""
        url = httpx.URL(self._url + phone, params={"Fields": ",".join(fields)})
        request = httpx.Request("GET", url, headers=self._headers, extensions=self._extensions)
        try:
            response = await self._transport.handle_async_request(request)
            body = b"".join([piece async for piece in response.aiter_raw()])
        except NOT_SENT as error:
            if is_own_shortage(error):
                raise AtCapacity from error
            raise LookupFailed("no_connection") from error
        except httpx.TimeoutException as error:
            raise LookupFailed("timeout") from error
        except ResponseTooLarge as error:
            raise LookupFailed("response_too_large") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise LookupFailed("connection_lost") from error
        if response.status_code != httpx.codes.OK:
            raise LookupFailed(_BY_STATUS.get(response.status_code, "http_error"))
        return body


def _read(body: bytes, phone: str, fields: Sequence[str]) -> LookupAnswer:
    """Read a response. Raises LookupFailed."""
    try:
        response = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise LookupFailed("invalid_response") from None
    if response.phone_number != phone:
        raise LookupFailed("other_number")
    name = _package(response.line_type_intelligence).get("type")
    line_type = (parse_line_type(name) if isinstance(name, str) else None) or "unknown"
    risk = _package(response.sms_pumping_risk).get("sms_pumping_risk_score")
    last_swap = _package(_package(response.sim_swap).get("last_sim_swap"))
    swapped = last_swap.get("swapped_in_period")
    return LookupAnswer(
        line_type=line_type if LINE_TYPE in fields else None,
        pumping_risk=risk if type(risk) is int and 0 <= risk <= 100 else None,
        sim_swapped=swapped if isinstance(swapped, bool) else None,
    )


def _package(value: Any) -> dict[str, Any]:
    """Return the values of a package; none where Twilio has no data or reports an error."""
    return value if isinstance(value, dict) and value.get("error_code") is None else {}
