"""SMS through Twilio's Messages resource (Programmable Messaging, API 2010-04-01).

One attempt with one deadline: the API has no idempotency key, so nothing is retried here. Answers are read to a bound,
redirects are not followed, and proxy variables of the environment are not believed.
"""

import asyncio
import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec

from auth1.config.providers import Twilio as Account
from auth1.config.sms_rates import MICRO
from auth1.messaging.providers.protocol import Failure, OutgoingMessage, SendError, SendResult

DEADLINE_S = 2.0
CONNECT_S = 1.0
MAX_ANSWER_BYTES = 64 * 1024
MAX_VALIDITY_S = 36_000  # Twilio's own bound of ValidityPeriod
MAX_CONNECTIONS = 100
CALLBACK_PATH = "/api/callbacks/twilio/status"

_PRICE = re.compile(r"-?[0-9]{1,4}(?:\.[0-9]{1,12})?", re.ASCII)  # negative: it is taken from an account
SID = re.compile(r"(SM|MM)[0-9a-fA-F]{32}")
_SERVICE = re.compile(r"MG[0-9A-Za-z]{32}")

# What a status callback reports. What is neither (`receiving`, `received`) is not about a message that we send.
STATES = {
    **dict.fromkeys(("queued", "accepted", "scheduled", "sending", "sent"), "sent"),
    **dict.fromkeys(("delivered", "read"), "delivered"),
    **dict.fromkeys(("undelivered", "failed", "canceled"), "failed"),
}

# Twilio's error codes (its "Error and Warning Dictionary"). Every other 4xx is a refusal that is ours to mend.
_FAILURES = {
    Failure.IMPOSSIBLE: (21211, 21217, 21614, 30005, 30006),
    Failure.OPTED_OUT: (21610,),
    Failure.THROTTLED: (20429, 21611, 30001, 30022),
    Failure.CONFIGURATION: (20003, 20005, 21212, 21606, 21608, 21701, 21702, 21703, 21704, 21705, 30002, 30032, 30034),
    Failure.TRANSIENT: (21408, 21612, 30003, 30008, 30450),
}
# What another provider should not send either: a text that was blocked or filtered, and what looks like SMS pumping.
_BLOCKED = frozenset((30004, 30007, 30450))
_BY_CODE = {code: failure for failure, codes in _FAILURES.items() for code in codes}


class _Answer(msgspec.Struct):
    """The fields that matter of a message, of a legacy error and of an RFC 9457 error."""

    sid: str | None = None
    status: str | int | None = None
    code: int | str | None = None
    error_code: int | None = None
    price: Any = None  # "-0.00750", in price_unit; seldom there so early, and never a reason to doubt the rest
    price_unit: Any = None


_decode = msgspec.json.Decoder(_Answer).decode


class Twilio:
    """Sends SMS. `callback_url` is set where Twilio can reach us."""

    name = "twilio"

    def __init__(
        self, account: Account, callback_url: str | None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._service = account.messaging_service_sid
        self._callback_url = callback_url
        self.reports = callback_url is not None
        self._path = f"/2010-04-01/Accounts/{account.account_sid}/Messages.json"
        self._client = httpx.AsyncClient(
            base_url=account.api_url,
            auth=httpx.BasicAuth(account.account_sid, account.auth_token),
            timeout=httpx.Timeout(DEADLINE_S, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
            headers={"accept": "application/json", "accept-encoding": "identity"},
        )

    def form(self, message: OutgoingMessage) -> dict[str, str]:
        """The fields of the request, as Twilio names them."""
        sender = message.sender_of(self.name) or self._service
        fields = {
            "To": message.to,
            "MessagingServiceSid" if _SERVICE.fullmatch(sender) else "From": sender,
            "Body": message.text,
            # A code that arrives after its end is of no use, and Twilio's own default is ten hours.
            "ValidityPeriod": str(min(max(message.expires_in, 1), MAX_VALIDITY_S)),
        }
        if self._callback_url is not None:
            # Our ids come back in the URL, so that a receipt finds its message before the answer to this request does.
            ids = {"tenant_id": message.tenant_id, "message_id": message.message_id}
            fields["StatusCallback"] = f"{self._callback_url}?{urlencode(ids)}"
        return fields

    async def send(self, message: OutgoingMessage) -> SendResult:
        """Create the message at Twilio; its id there is the SID."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                status, body = await self._post(self.form(message))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise SendError(Failure.TRANSIENT, "no_connection") from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise SendError(Failure.UNKNOWN, "timeout") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SendError(Failure.UNKNOWN, "connection_lost") from error
        return _read(status, body)

    async def close(self) -> None:
        await self._client.aclose()

    async def _post(self, form: dict[str, str]) -> tuple[int, bytes]:
        async with self._client.stream("POST", self._path, data=form) as response:
            body = b""
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > MAX_ANSWER_BYTES:
                    raise SendError(_of_status(response.status_code), "answer_too_long")
            return response.status_code, body


def is_retryable(status: str, code: int | None) -> bool:
    """Whether another provider might deliver what Twilio reports as not delivered: not what no number, owner or network
    wants, and not what somebody took back."""
    refused = _BY_CODE.get(code or 0) in (Failure.IMPOSSIBLE, Failure.OPTED_OUT) or code in _BLOCKED
    return status in ("undelivered", "failed") and not refused


def _read(status: int, body: bytes) -> SendResult:
    """Tell a message that was taken from one that was not."""
    answer = _parse(body)
    if status in (200, 201):
        sid = answer.sid if answer else None
        if answer and sid is not None and SID.fullmatch(sid) and answer.status != "failed":
            return SendResult(sid, _price(answer))
        raise SendError(Failure.UNKNOWN, "garbage")
    code = _code(answer)
    if code is not None and code in _BY_CODE and status < 500:
        raise SendError(_BY_CODE[code], str(code))
    raise SendError(_of_status(status), str(code or f"http_{status}"))


def _price(answer: _Answer) -> int | None:
    """The price in millionths of a US dollar; what is billed in another currency is not converted."""
    text = str(answer.price)
    if answer.price_unit not in ("USD", "usd") or not _PRICE.fullmatch(text):
        return None
    return round(abs(Decimal(text)) * MICRO)


def _of_status(status: int) -> Failure:
    """Judge by the status alone: 429 was never processed, a 4xx was refused, all else may have been sent."""
    if status == 429:
        return Failure.THROTTLED
    return Failure.CONFIGURATION if 300 <= status < 500 else Failure.UNKNOWN


def _code(answer: _Answer | None) -> int | None:
    value: Any = answer and (answer.code if answer.code is not None else answer.error_code)
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()) else None


def _parse(body: bytes) -> _Answer | None:
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
